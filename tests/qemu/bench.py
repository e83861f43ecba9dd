"""What every case starts from: the image as scripts/image made it, test tools beside it, a network, the phones' program."""
import json
import os
import subprocess
import threading
import time
from functools import lru_cache
from pathlib import Path

from firmware import board, cpio, debian, guest

from . import flashmodule
from .machine import Failed, Machine
from .netlab import HOST, NAME, PORT, TOP, Net

# For the AST2600 evaluation board, which has SPI flash.
SPI = ["spi_aspeed_smc", "spi_nor", "jffs2", "mdio_aspeed", "realtek", "ftgmac100"]
# Beside the image's own modules: flash, and squashfs to look at images.
MODULES = ["ubi", "ubifs", "jffs2", "mtdblock", "lzo", "lzo_rle", "deflate", "zstd", "crc16", "loop", "squashfs", "nasflash"]
# Levels of arrays that boxes of two bays have no use for.
LEVELS = ["raid456", "raid10", "raid0", "linear"]
PROGRAMS = ["sbin/mdadm", *(f"usr/sbin/{p}" for p in ("ubiattach", "ubimkvol", "ubiformat", "flash_erase", "mtdpart"))]
# A mirror of the disks in the bays, put together at boot as a NAS does it, when the kernel's command line asks.
RAID = b"""#!/bin/sh
[ "$1" = start ] || exit 0
grep -q test.raid /proc/cmdline || exit 0
for disk in /dev/sd?; do disks="$disks $disk"; done
mdadm --assemble --run /dev/md0 $disks
"""
# Flash before S05state mounts it, test.flash=: nand and nor have cells in a file of the host, raw is nand
# without UBI on it; spi is the board's own chip.
FLASH = b"""#!/bin/sh
[ "$1" = start ] || exit 0
for word in $(cat /proc/cmdline); do case $word in test.flash=*) kind=${word#test.flash=} ;; esac; done
[ -n "$kind" ] || exit 0
for module in $(cat /lib/test/flash-$kind); do insmod /lib/test/$module.ko; done
case $kind in
nand | raw) page=2048 ;;
nor) page=1 ;;
spi)
    # A partition of the first chip, as a vendor has it for his settings.
    mtdpart add /dev/mtd0 config 0 2097152
    exit
    ;;
esac
device=/sys/bus/pci/devices/0000:00:0a.0
echo 1 >$device/enable
set -- $(sed -n 3p $device/resource)
insmod /lib/test/nasflash.ko phys=$1 size=$(($2 - $1 + 1)) erasesize=131072 writesize=$page
[ $kind = nand ] || exit 0
ubiattach -m 0 >/dev/null
[ -e /dev/ubi0_0 ] || ubimkvol /dev/ubi0 -N moorline -m >/dev/null
"""
# Stamps lines with the time since boot, in a shell without processes of its own.
STAMP = b"""#!/bin/sh
while read -r line; do read -r now rest </proc/uptime; echo "$now $line"; done
"""
CONFIG = """[nas]
name = "QEMU NAS"
[cloud]
broker = "mqtts://{name}:{port}"
ca_file = "/etc/moorline/ca.pem"
user = "nas"
password_file = "/etc/moorline/nas.password"
reconnect_spread_s = 1
backoff_max_s = 2
[cloud.device_access]
user = "device"
password_file = "/etc/moorline/device.password"
[store]
dir = "/var/lib/moorline"
{store}
"""


@lru_cache
def tools(isa):
    """The cpio archive of the test tools."""
    with debian.Lock():
        root, release = debian.kernel(isa)
        userland = debian.userland(isa)
        module = flashmodule.build(isa)
    modules = guest.Modules(root, release, [module])
    image = cpio.Cpio()
    order = {}
    shipped = set(modules.ordered(board.MODULES))
    for name in MODULES + LEVELS + (SPI if isa == "armv7" else []):
        if name in modules.builtin:
            continue
        order[name] = [m for m in modules.ordered([name]) if m not in shipped]
    for name in dict.fromkeys(m for names in order.values() for m in names):
        image.file(f"lib/test/{name}.ko", modules.files[name].read_bytes(), 0o644)
    programs = {Path(p).name: (userland / p).read_bytes() for p in PROGRAMS}
    for name, data in programs.items():
        image.file(f"sbin/{name}", data)
    for name, data in guest.libraries_of(userland, programs.values()).items():
        image.file(f"lib/{name}", data)
    image.file("etc/init.d/S50raid", RAID)
    image.file("usr/bin/stamp", STAMP)
    image.file("etc/init.d/S04flash", FLASH)
    nand = ["lzo", "lzo_rle", "deflate", "zstd", "ubi", "ubifs"]
    for kind, names in (("nand", nand), ("raw", [*nand, "squashfs"]), ("nor", ["lzo", "deflate", "jffs2"])):
        wanted = dict.fromkeys(m for name in names for m in order.get(name, []))
        image.file(f"lib/test/flash-{kind}", " ".join([*wanted, *order["nasflash"][:-1]]).encode(), 0o644)
    wanted = dict.fromkeys(m for name in LEVELS for m in order.get(name, []))
    image.file("lib/test/md", " ".join(wanted).encode(), 0o644)
    wanted = dict.fromkeys(m for name in SPI for m in order.get(name, []))
    image.file("lib/test/flash-spi", " ".join(wanted).encode(), 0o644)
    return image.bytes()


class Bench:
    """One case on one architecture: its directory, its network, its machines; all gone at the end."""

    def __init__(self, isa, case, number, long):
        self.isa, self.case, self.long = isa, case, long
        self.where = TOP / "target/qemu" / f"{isa}-{case}"
        subprocess.run(["rm", "-rf", self.where], check=True)
        self.where.mkdir(parents=True)
        self.image = TOP / "target/images" / f"qemu-{isa}"
        self.client = TOP / "target/release/moorline-client"
        self.net = Net(f"mlq{os.getpid()}n{number}", self.where)
        self.machine, self.phones, self.facts = None, 0, []
        self.lock = threading.Lock()

    def say(self, text):
        """A figure for the case's line."""
        self.facts.append(text)

    def initrd(self, store="", files=None):
        """Image, tools and this case's configuration, one archive after the other."""
        own = cpio.Cpio()
        config = CONFIG.format(name=NAME, port=PORT, store=store)
        own.file("etc/moorline/agent.toml", config.encode(), 0o644)
        own.file("etc/moorline/ca.pem", (self.where / "broker/ca.pem").read_bytes(), 0o644)
        for account in ("nas", "device"):
            own.file(f"etc/moorline/{account}.password", (self.where / f"broker/{account}.password").read_bytes(), 0o600)
        own.file("etc/default/moorline", b"MOORLINE_LOG=/var/log/moorline.log\n", 0o644)
        for name, data in (files or {}).items():
            own.file(name, data)
        path = self.where / "initrd"
        path.write_bytes((self.image / "initramfs.cpio").read_bytes() + tools(self.isa) + own.bytes())
        return path

    def disk(self, name, mebibytes, fill=None):
        path = self.where / name
        if not path.exists():
            with open(path, "wb") as file:
                if fill is None:
                    file.truncate(mebibytes << 20)
                else:
                    for _ in range(mebibytes):
                        file.write(fill * (1 << 20))
        return path

    def ext4(self, name="state.img", mebibytes=32):
        path = self.where / name
        if not path.exists():
            self.disk(name, mebibytes)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard", path], check=True,
                           env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
        return path

    def boot(self, initrd=None, words=(), append="", state=None, **more):
        """A machine that has started; `ready()` waits for it. `state`: an ext4 image for the store."""
        words = list(words)
        if state:
            words += ["-drive", f"if=none,id=state,format=raw,file={state}", "-device", "virtio-blk-pci,drive=state,addr=0x7"]
            append += " moorline.state=ext4:/dev/vda"
        initrd = initrd or self.initrd()
        more.setdefault("dtb", self.image / "board.dtb")
        self.machine = Machine(self.isa, self.where, self.net, self.image / "vmlinuz", initrd, words, append=append, **more)
        return self.machine

    def phone(self):
        with self.lock:
            self.phones += 1
            return self.where / f"phone-{self.phones}"

    def pair(self, code, phone=None, timeout=30):
        """Runs the phone's program on the host, through the broker. Its exit code and words."""
        phone = phone or self.phone()
        done = subprocess.run(
            self.net.inside(self.client, "pair", code, "--broker", f"mqtts://{HOST}:{PORT}", "--ca", self.where / "broker/ca.pem",
                            "--user", "pairing", "--password-file", self.where / "broker/pairing.password", "--name", "Test phone",
                            "--state", phone, "--json", "--timeout", timeout),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def paired(self, user="anna"):
        """A device of this user; its phone."""
        machine = self.machine
        machine.sh(f"moorline users add {user} || true")
        code = machine.cli(f"code {user}")
        phone = self.phone()
        ended, words = self.pair(code["code"], phone)
        expect(ended == 0, f"the phone does not get through: {words}")
        return code["device_id"], phone

    def standing(self, phone):
        done = subprocess.run(self.net.inside(self.client, "status", "--state", phone, "--json"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            return json.loads(done.stdout)["nas"][0]["standing"]
        except (ValueError, KeyError, IndexError):
            return f"nowhere: {done.stdout} {done.stderr}"

    def resident(self):
        """Resident memory of the agent in KiB."""
        return int(self.machine.sh(f"grep VmRSS /proc/{self.machine.agent()}/status").split()[1])

    def close(self, keep):
        if self.machine:
            if keep and self.machine.process.poll() is None:
                try:
                    (self.where / "moorline.log").write_text(self.machine.sh("tail -n 300 /var/log/moorline.log", 20))
                except (Failed, OSError):
                    pass
            self.machine.close()
        self.net.close()
        if not keep:
            subprocess.run(["rm", "-rf", self.where], check=True)


def expect(holds, what):
    if not holds:
        raise Failed(what)


def wait(what, holds, patience=60):
    end = time.monotonic() + patience
    while not holds():
        expect(time.monotonic() < end, f"not within {patience} s: {what}")
        time.sleep(0.1)
