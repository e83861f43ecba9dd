"""Flash in a guest: the test module nasflash, whose cells are a file of the host, with UBIFS or JFFS2 on it; and ext4 on a disk."""
from dataclasses import dataclass

from .bench import tools

MEBIBYTES = 16
COUNTERS = "/sys/module/nasflash/parameters"


def nasflash(cells):
    """QEMU's words for the module's cells in this file."""
    return ["-object", f"memory-backend-file,id=cells,mem-path={cells},share=on,size={cells.stat().st_size}",
            "-device", "ivshmem-plain,memdev=cells,addr=0xa"]


def boot(bench, kind, words=(), append="", **more):
    """A machine whose state is on `ubifs` (NAND, 2 KiB pages), `jffs2` (NOR) or `ext4` (a disk)."""
    if kind == "ext4":
        return bench.boot(words=words, append=append, state=bench.ext4(), **more)
    cells = bench.disk("flash", MEBIBYTES, b"\xff")
    place = {"ubifs": "test.flash=nand moorline.state=ubifs:ubi0:moorline", "jffs2": "test.flash=nor moorline.state=jffs2:mtd0"}[kind]
    return bench.boot(words=[*words, *nasflash(cells)], append=f"{append} {place}", **more)


def load(bench, *names):
    """Loads test modules; `nasflash:nand` with the address of the cells."""
    machine, (_, order) = bench.machine, tools(bench.isa)
    for name in names:
        name, _, kind = name.partition(":")
        if name == "ubifs":
            for compressor in ("lzo", "lzo_rle", "deflate", "zstd"):
                machine.insmod(order.get(compressor, []))
        if not kind:
            machine.insmod(order.get(name, []))
            continue
        machine.insmod(order[name][:-1])
        bar = machine.sh("d=/sys/bus/pci/devices/0000:00:0a.0; echo 1 >$d/enable; sed -n 3p $d/resource").split()
        start, end = int(bar[0], 16), int(bar[1], 16)
        page = 2048 if kind == "nand" else 1
        machine.sh(f"insmod /lib/test/nasflash.ko phys={start:#x} size={end - start + 1} erasesize=131072 writesize={page}")


@dataclass
class Wear:
    """What has reached the flash since boot: bytes programmed, erases (flushes, for a disk), rules of flash broken."""

    bytes: int
    erases: int
    violations: int = 0

    def __sub__(self, other):
        return Wear(self.bytes - other.bytes, self.erases - other.erases, self.violations)


def wear(machine, kind):
    machine.sh("sync")
    if kind == "ext4":
        # Kernel: Documentation/block/stat.rst; sectors written, flush requests.
        fields = machine.sh("cat /sys/block/vda/stat").split()
        return Wear(int(fields[6]) * 512, int(fields[15]))
    names = "prog_bytes", "erases", "violations"
    return Wear(*map(int, machine.sh(f"cd {COUNTERS}; cat {' '.join(names)}; cd /").split()))
