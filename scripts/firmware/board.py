"""The QEMU boards: kernel, initramfs, device tree, and a program that boots them."""
import os
import re
import shlex
import subprocess

from . import cpio, debian, guest, overlay

MACHINES = {
    # armmp has no LPAE: everything has to be below 4 GiB.
    "armv7": ("qemu-system-arm", "virt,highmem=off,gic-version=2", "cortex-a7"),
    "aarch64": ("qemu-system-aarch64", "virt,gic-version=3", "cortex-a53"),
}
MEMORY = "512M"
MODULES = """virtio_pci virtio_mmio virtio_rng virtio_net virtio_blk virtio_scsi sd_mod raid1 evdev gpio_keys leds_gpio
ledtrig_timer crc32c_generic ext4""".split()
APPLETS_BY_KERNEL = {"init": "bin/busybox", "bin/sh": "busybox"}


def write(top, isa, files, output):
    with debian.Lock():
        root, release = debian.kernel(isa)
        userland = debian.userland(isa)
        debian.qemu()
    subprocess.run([top / "scripts/install-deps", "dtc"], check=True)
    kernel, archive = output / "vmlinuz", output / "initramfs.cpio"
    kernel.write_bytes((root / f"boot/vmlinuz-{release}").read_bytes())
    archive.write_bytes(initramfs(top, root, release, userland, files))
    tree = device_tree(top, isa, output / "board.dtb")
    return [kernel, archive, tree, runner(isa, output / "run")]


def initramfs(top, root, release, userland, files):
    image = cpio.Cpio()
    for name in ("bin", "sbin", "dev", "proc", "sys", "run", "tmp", "mnt", "root", "var/lib", "var/log", "lib/modules", "usr/bin", "usr/sbin"):
        image.directory(name)
    image.device("dev/console", 0o600, 5, 1)
    image.device("dev/null", 0o666, 1, 3)
    image.file("bin/busybox", (userland / "bin/busybox").read_bytes())
    for name, target in APPLETS_BY_KERNEL.items():
        image.link(name, target)
    modules = guest.Modules(root, release)
    order = modules.ordered(MODULES)
    for name in order:
        image.file(f"lib/modules/{name}.ko", modules.files[name].read_bytes(), 0o644)
    image.file("lib/modules/order", "".join(f"{n}\n" for n in order).encode(), 0o644)
    for name, (mode, data) in sorted((overlay.directory(top / "boards/qemu/root") | files).items()):
        image.file(name, data, mode)
    return image.bytes()


def command(isa):
    """The beginning of every QEMU command line for this board, and its environment."""
    environment, data, program = debian.qemu()
    name, machine, cpu = MACHINES[isa]
    words = [program(name)]
    if data:
        words += ["-L", str(data)]
    return words + ["-M", machine, "-cpu", cpu, "-m", MEMORY, "-smp", "1", "-accel", "tcg", "-nodefaults"], environment


def device_tree(top, isa, path):
    """What QEMU would give its kernel, with this board's lights and buttons."""
    words, environment = command(isa)
    dump = path.with_suffix(".dump")
    words[words.index("-M") + 1] += f",dumpdtb={dump}"
    debian.run(*words, "-display", "none", env=environment)
    text = debian.run("dtc", "-q", "-I", "dtb", "-O", "dts", str(dump))
    dump.unlink()
    # Two random seeds are in the dump; the board boots the same without them.
    text = re.sub(r"^\s*(rng-seed|kaslr-seed) = .*;\n", "", text, flags=re.M)
    found = re.search(r"pl061@[0-9a-f]+ \{[^}]*?phandle = <(0x[0-9a-f]+)>", text)
    if not found:
        raise debian.Unavailable("QEMU's device tree has no pl061")
    text += (top / "boards/qemu/board.dtsi").read_text().replace("@PL061@", found[1]).replace("@ISA@", isa)
    subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", path], input=text, text=True, check=True)
    return path


def runner(isa, path):
    """A script that boots the image with two empty disks and a network; Ctrl-A X ends it."""
    words, environment = command(isa)
    library = environment.get("LD_LIBRARY_PATH")
    lines = ["#!/bin/sh", "# Boots this image: two disks, a network behind NAT. Ctrl-A X ends it. More of QEMU's words can follow.", "set -eu",
             'cd "$(dirname "$0")"', "PATH=$PATH:/usr/sbin:/sbin",
             "for disk in state disk1 disk2; do [ -e $disk.img ] || truncate -s 64M $disk.img; done",
             "blkid state.img >/dev/null 2>&1 || mkfs.ext4 -q -F state.img"]
    if library and library != os.environ.get("LD_LIBRARY_PATH"):
        lines.append(f"export LD_LIBRARY_PATH={shlex.quote(library)}")
    boot = [shlex.quote(w) for w in words] + [
        "-nographic -serial mon:stdio -no-reboot -kernel vmlinuz -initrd initramfs.cpio -dtb board.dtb",
        "-append 'console=ttyAMA0 moorline.state=ext4:/dev/vda'",
        "-drive if=none,id=state,format=raw,file=state.img -device virtio-blk-pci,drive=state",
        *disks("disk1.img", "disk2.img"),
        "-netdev user,id=net -device virtio-net-pci,netdev=net,romfile=", '"$@"']
    lines.append("exec " + " \\\n    ".join(boot))
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


def disks(*files):
    """QEMU's words for the disks in the two bays: boards/qemu-*.toml know the addresses."""
    words = []
    for number, file in enumerate(files, 1):
        words.append(f"-device virtio-scsi-pci,id=bay{number},addr=0x{number + 4:x}")
        # A node of its own, which stays when the disk is pulled.
        words.append(f"-blockdev driver=raw,node-name=disk{number},file.driver=file,file.filename={file}")
        words.append(f"-device scsi-hd,drive=disk{number},bus=bay{number}.0,id=hd{number},serial=DISK{number}")
    return words
