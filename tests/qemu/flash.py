"""Flash in a guest: the test module nasflash, whose cells are a file of the host, with UBIFS or JFFS2 on it; and ext4 on a disk."""
import re
from dataclasses import dataclass

from firmware import debian

MEBIBYTES = 16
COUNTERS = "/sys/module/nasflash/parameters"


def nasflash(cells):
    """QEMU's words for the module's cells in this file."""
    return ["-object", f"memory-backend-file,id=cells,mem-path={cells},share=on,size={cells.stat().st_size}",
            "-device", "ivshmem-plain,memdev=cells,addr=0xa"]


def boot(bench, kind, words=(), append="", **more):
    """A machine whose state is on `ubifs` (NAND, 2 KiB pages), `jffs2` (NOR), `jffs2-spi` (an SPI chip) or `ext4` (a disk); or its log on
    raw flash, `mtd` (NOR) or `ubi` (a volume on NAND), with the key alone on a disk."""
    if kind == "jffs2-spi":
        chip = bench.disk("flash", 64, b"\xff")
        root, release = debian.kernel(bench.isa)
        return bench.boot(words=[*words, "-drive", f"if=mtd,format=raw,file={chip}"], evb=True,
                          dtb=root / f"usr/lib/linux-image-{release}/aspeed-ast2600-evb.dtb",
                          append=f"{append} test.flash=spi moorline.state=jffs2:mtd:config", **more)
    if kind == "ext4":
        return bench.boot(words=words, append=append, state=bench.ext4(), **more)
    cells = bench.disk("flash", MEBIBYTES, b"\xff")
    if kind in PLACES:
        return bench.boot(words=[*words, *nasflash(cells)], append=f"{append} test.flash={PLACES[kind].flash}", state=bench.ext4(), **more)
    place = {"ubifs": "test.flash=nand moorline.state=ubifs:ubi0:moorline", "jffs2": "test.flash=nor moorline.state=jffs2:mtd0"}[kind]
    return bench.boot(words=[*words, *nasflash(cells)], append=f"{append} {place}", **more)


@dataclass
class Raw:
    """A log without a file system: the flash that nasflash plays, and what `[store] place` says."""

    flash: str
    place: str


PLACES = {"mtd": Raw("nor", "mtd:nasflash"), "ubi": Raw("nand", "ubi:moorline")}


def store(kind, more=""):
    """Lines of `[store]` for this kind."""
    return f'place = "{PLACES[kind].place}"\n{more}' if kind in PLACES else more


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
    if kind == "jffs2-spi":
        # Arguments of spi_nor_write(mtd, to, len, …): the third is the first on the stack, `to` having 64 bits.
        trace = "/sys/kernel/tracing"
        machine.sh(f"[ -d {trace}/events/kprobes/spi_write ] || {{ mount -t tracefs t {trace}; cd {trace}; "
                   "echo 'p:spi_write spi_nor_write len=$stack0:u32' >>kprobe_events; echo 'p:spi_erase spi_nor_erase' >>kprobe_events; "
                   "echo 'hist:keys=common_type:vals=len' >events/kprobes/spi_write/trigger; "
                   "echo 'hist:keys=common_type' >events/kprobes/spi_erase/trigger; cd /; }")
        bytes_ = sum(map(int, re.findall(r"len:\s+(\d+)", machine.sh(f"cat {trace}/events/kprobes/spi_write/hist"))))
        erases = sum(map(int, re.findall(r"hitcount:\s+(\d+)", machine.sh(f"cat {trace}/events/kprobes/spi_erase/hist"))))
        return Wear(bytes_, erases)
    names = "prog_bytes", "erases", "violations"
    return Wear(*map(int, machine.sh(f"cd {COUNTERS}; cat {' '.join(names)}; cd /").split()))
