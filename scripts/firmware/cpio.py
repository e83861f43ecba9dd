"""initramfs archives (newc, kernel: Documentation/driver-api/early-userspace/buffer-format.rst), written without root."""
import stat
from pathlib import PurePosixPath


class Cpio:
    """Entries in the order they are added; parents come by themselves. The same entries give the same bytes."""

    def __init__(self):
        self.parts, self.size, self.inode, self.seen = [], 0, 1, set()

    def _entry(self, name, mode, data=b"", major=0, minor=0):
        path = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(path), 0)
        self.inode += 1
        head = b"070701" + "".join("%08X" % f for f in fields).encode() + path
        head += b"\0" * (-len(head) % 4)
        self.parts += [head, data, b"\0" * (-len(data) % 4)]
        self.size += len(head) + len(data) + -len(data) % 4

    def directory(self, name, mode=0o755):
        name = name.strip("/")
        if not name or name == "." or name in self.seen:
            return
        self.directory(str(PurePosixPath(name).parent))
        self.seen.add(name)
        self._entry(name, stat.S_IFDIR | mode)

    def _add(self, name, *rest, **more):
        name = name.strip("/")
        if name in self.seen:
            raise ValueError(f"{name} is there already")
        self.directory(str(PurePosixPath(name).parent))
        self.seen.add(name)
        self._entry(name, *rest, **more)

    def file(self, name, data, mode=0o755):
        self._add(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, mode, major, minor):
        self._add(name, stat.S_IFCHR | mode, major=major, minor=minor)

    def bytes(self):
        self._entry("TRAILER!!!", 0)
        self.parts.append(b"\0" * (-self.size % 512))
        return b"".join(self.parts)
