"""What goes into the initramfs of a QEMU board besides the overlay: BusyBox, kernel modules in the order they load, programs
with their libraries."""
from pathlib import Path

from . import debian, elf


class Modules:
    """The modules of one kernel, with more from elsewhere."""

    def __init__(self, root, release, more=()):
        self.files, self.builtin = {}, set()
        tree = Path(root) / "lib/modules" / release
        for file in [*tree.rglob("*.ko"), *more]:
            self.files[file.stem.replace("-", "_")] = Path(file)
        for line in (tree / "modules.builtin").read_text().split():
            self.builtin.add(Path(line).stem.replace("-", "_"))

    def ordered(self, names):
        """These and what they need, in the order they have to be loaded; built-in ones are left out."""
        order = []

        def visit(name, wanted_by):
            if name in order or name in self.builtin:
                return
            if name not in self.files:
                raise debian.Unavailable(f"this kernel has no module {name} ({wanted_by} wants it)")
            for other in elf.depends(self.files[name].read_bytes()):
                visit(other, name)
            order.append(name)

        for name in names:
            visit(name.replace("-", "_"), "the image")
        return order


def libraries_of(root, programs):
    """Files of the libraries and loaders that these programs need, by their names."""
    found, queue = {}, list(programs)
    while queue:
        names, loader = elf.libraries(queue.pop())
        for name in names + ([Path(loader).name] if loader else []):
            if name in found:
                continue
            places = [p for place in ("lib", "usr/lib") for p in (Path(root) / place).rglob(name)]
            if not places:
                raise debian.Unavailable(f"no {name} in {root}")
            found[name] = places[0].resolve().read_bytes()
            queue.append(found[name])
    return found
