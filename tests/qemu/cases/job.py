"""What an owner does with the box."""
from ..bench import expect, wait
from ..flash import nasflash


def job(bench):
    """a code minted in the guest, a phone paired through the broker; it is there after a reboot, and gone once removed"""
    bench.net.all()
    machine = bench.boot(state=bench.ext4()).ready()
    machine.online()
    device, phone = bench.paired()
    expect(bench.standing(phone) == "paired", "the phone does not know that it is paired")
    before = machine.cli("cloud")
    machine.reboot()
    expect(machine.uptime() < 60, "it has not rebooted")
    machine.online()
    listed = machine.cli("devices")["devices"]
    expect([(d["id"], d["state"], d["name"]) for d in listed] == [(device, "paired", "Test phone")], f"after the reboot: {listed}")
    expect(machine.cli("status")["nas"]["id"] and before["broker"] == machine.cli("cloud")["broker"], "the NAS has changed")
    expect(bench.standing(phone) == "paired", "the NAS no longer knows the phone")
    machine.sh(f"moorline remove {device}")
    expect(bench.standing(phone) == "removed", "the phone was not told")
    wait("the entry is gone", lambda: machine.cli("devices")["devices"] == [], 20)
    bench.say("paired, rebooted, still paired, removed, told, gone")


def image(bench):
    """the squashfs and the UBI image of scripts/image mount, and hold what the running system has"""
    bench.net.all()
    ubi = bench.image / "overlay.ubi"
    cells = bench.disk("flash", 16, b"\xff")
    machine = bench.boot(words=["-drive", f"if=none,id=squash,format=raw,readonly=on,file={bench.image / 'overlay.squashfs'}",
                                "-device", "virtio-blk-pci,drive=squash,addr=0x8",
                                "-drive", f"if=none,id=ubi,format=raw,readonly=on,file={ubi}",
                                "-device", "virtio-blk-pci,drive=ubi,addr=0x9", *nasflash(cells)],
                           append="test.flash=raw").ready()
    machine.sh("mkdir -p /mnt/squash /mnt/ubi && mount -t squashfs /dev/vda /mnt/squash")
    machine.sh(f"ubiformat -q -y -f - -S {ubi.stat().st_size} /dev/mtd0 </dev/vdb && ubiattach -m 0 && mount -t ubifs ubi0:moorline /mnt/ubi")
    for place in ("squash", "ubi"):
        machine.sh(f"cd /mnt/{place} && cmp usr/sbin/moorline /usr/sbin/moorline && cmp etc/init.d/S60moorline /etc/init.d/S60moorline; cd /")
        owners = machine.sh(f"find /mnt/{place} -exec stat -c '%u:%g' {{}} + | sort -u")
        expect(owners == "0:0", f"{place}: {owners}")
    expect(machine.sh("/mnt/squash/usr/sbin/moorline --version") == machine.sh("moorline --version"), "another version")
    bench.say(f"{(bench.image / 'overlay.squashfs').stat().st_size >> 10} KiB squashfs, {ubi.stat().st_size >> 10} KiB UBI")
