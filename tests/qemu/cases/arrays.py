"""Every state that the kernel's md can be brought into on two disks of four partitions: what it shows is what unit tests read,
and what the agent makes of it is compared."""
import os
import struct
import time

from firmware.board import disks

from ..bench import TOP, expect, wait
from ..machine import Failed

# Prints /proc/mdstat, then the attributes of arrays and members, without a process of its own for each. The progress is read
# first and the members last, as the agent does.
LOOK = b"""#!/bin/sh
while IFS= read -r line; do echo "mdstat|$line"; done </proc/mdstat
show() {
    for file in "$@"; do
        text=
        { while IFS= read -r line; do text="$text${text:+;}$line"; done; } 2>/dev/null <$file && echo "$file=$text"
    done
}
cd /sys/block
for md in md*; do
    [ -d $md/md ] || continue
    cd $md
    echo "array|$md"
    show size
    for name in sync_action sync_completed sync_speed array_state level degraded raid_disks last_sync_action mismatch_cnt \\
        metadata_version resync_start reshape_position consistency_policy component_size array_size; do
        [ -e md/$name ] && show md/$name
    done
    for dev in md/dev-*; do
        [ -d $dev ] || continue
        # The link outlives the disk.
        [ -e $dev/block ] && gone= || gone=' (gone)'
        echo "$dev/block>$(readlink $dev/block)$gone"
        for name in state slot errors recovery_start bad_blocks size; do
            [ -e $dev/$name ] && show $dev/$name
        done
    done
    cd ..
done
"""
PARTITIONS, MIB = 4, 15
FIXTURES = TOP / "tests/fixtures/md"


def partition(file):
    """A table of primary partitions (MBR): sector 0 has 16 bytes of each from byte 446, and ends with 55 AA."""
    entry = lambda n: struct.pack("<B3sB3sII", 0, b"\0\0\0", 0xFD, b"\0\0\0", 2048 + n * MIB * 2048, MIB * 2048)
    with open(file, "r+b") as image:
        image.seek(446)
        image.write(b"".join(map(entry, range(PARTITIONS))) + b"\x55\xaa")


class Life:
    """A machine whose arrays are changed and looked at."""

    def __init__(self, bench):
        bench.net.all()
        files = [bench.disk(f"disk{n}.img", 64) for n in (1, 2)]
        for file in files:
            partition(file)
        initrd = bench.initrd(files={"usr/bin/md-look": LOOK})
        self.bench, self.machine = bench, bench.boot(initrd, words=[w for line in disks(*files) for w in line.split()]).ready()
        self.machine.sh("chmod 755 /usr/bin/md-look; for m in $(cat /lib/test/md) loop; do insmod /lib/test/$m.ko; done")
        self.release = ".".join(self.machine.sh("uname -r").split(".")[:2])
        self.number, self.wrong = 0, []
        self.slowly()

    def sh(self, line, patience=60):
        return self.machine.sh(f"({line}) 2>&1", patience)

    def slowly(self):
        self.sh("cd /proc/sys/dev/raid; echo 50 >speed_limit_min; echo 100 >speed_limit_max")

    def fast(self):
        """Lets everything that runs come to its end."""
        self.sh("cd /proc/sys/dev/raid; echo 200000 >speed_limit_min; echo 200000 >speed_limit_max")
        wait("md is idle", lambda: "idle" == self.sh("cat /sys/block/md*/md/sync_action | grep -v idle || echo idle").strip(), 120)
        self.slowly()

    def attribute(self, name, word, patience=20):
        wait(f"{name} says {word}", lambda: word in self.sh(f"cat /sys/block/{name}"), patience)

    def create(self, md, level, members, more="--assume-clean"):
        count = len(members.split())
        self.sh(f"mdadm --create /dev/{md} --run --level={level} --raid-devices={count} --metadata=1.2 {more} "
                + " ".join(f"/dev/{m}" for m in members.split()))

    def stop(self):
        """No array, and no trace of one."""
        self.sh("cd /sys/block; for md in md*; do [ -d $md ] && mdadm --stop /dev/$md; done; mdadm --zero-superblock /dev/sd[ab]?; "
                "dmesg -c >/dev/null; true")

    def look(self, name, **states):
        """The agent's words for the arrays, and the kernel's, kept where fixtures are when asked to."""
        self.number += 1
        shown = self.sh("md-look")
        said = {a["name"]: a["state"] for a in self.machine.cli("arrays")["arrays"]}
        if said != states:
            self.wrong.append(f"{name}: {said}, not {states}")
        file = f"{self.number:02}-{name}.txt"
        head = "".join(f"expect|{array} {state}\n" for array, state in sorted(states.items()))
        if os.environ.get("MOORLINE_BLESS"):
            where = FIXTURES / self.release
            where.mkdir(parents=True, exist_ok=True)
            (where / file).write_text(head + shown + "\n")


def mirrors(life):
    """Two mirrors on the same two disks, as most boxes have them."""
    sh = life.sh
    life.create("md0", 1, "sda1 sdb1", "--bitmap=none")
    life.attribute("md0/md/sync_completed", "/")
    time.sleep(2)
    life.look("first-synchronisation", md0="synchronising")
    life.create("md1", 1, "sda2 sdb2", "--bitmap=internal")
    life.attribute("md1/md/sync_completed", "delayed")
    life.look("second-waits", md0="synchronising", md1="waiting")
    life.fast()
    life.look("clean", md0="healthy", md1="healthy")
    sh("echo check >/sys/block/md0/md/sync_action; sleep 1; echo check >/sys/block/md1/md/sync_action; sleep 1")
    life.look("check", md0="checking", md1="waiting")
    life.fast()
    sh("dd if=/dev/zero of=/dev/sdb1 bs=4k seek=3000 count=2 conv=fsync; dd if=/dev/urandom of=/dev/sda1 bs=4k seek=3000 count=2 conv=fsync")
    sh("echo check >/sys/block/md0/md/sync_action; sleep 1")
    life.fast()
    life.look("differences", md0="healthy", md1="healthy")
    sh("echo repair >/sys/block/md0/md/sync_action; sleep 2")
    life.look("repair", md0="checking", md1="healthy")
    life.fast()
    life.look("repaired", md0="healthy", md1="healthy")
    sh("mdadm /dev/md0 --fail /dev/sdb1")
    life.look("failed-disk", md0="degraded", md1="healthy")
    sh("mdadm /dev/md0 --remove /dev/sdb1")
    life.look("removed-disk", md0="degraded", md1="healthy")
    sh("echo frozen >/sys/block/md0/md/sync_action; mdadm --zero-superblock /dev/sdb1; mdadm /dev/md0 --add /dev/sdb1")
    life.look("frozen-with-spare", md0="degraded", md1="healthy")
    sh("echo idle >/sys/block/md0/md/sync_action; mdadm /dev/md1 --fail /dev/sdb2 --remove /dev/sdb2; "
       "mdadm --zero-superblock /dev/sdb2; mdadm /dev/md1 --add /dev/sdb2; sleep 2")
    life.look("two-recoveries", md0="rebuilding", md1="rebuilding")
    life.fast()
    sh("mdadm /dev/md0 --add /dev/sda3")
    life.look("hot-spare", md0="healthy", md1="healthy")
    sh("mdadm /dev/md0 --fail /dev/sdb1; sleep 2")
    life.look("hot-spare-takes-over", md0="rebuilding", md1="healthy")
    life.fast()
    sh("mdadm /dev/md0 --remove /dev/sdb1; mdadm --zero-superblock /dev/sdb1; mdadm /dev/md0 --add --write-mostly /dev/sdb1; sleep 1")
    life.look("write-mostly-spare", md0="healthy", md1="healthy")
    sh("mdadm /dev/md0 --replace /dev/sda3 --with /dev/sdb1; sleep 2")
    life.look("replacement", md0="rebuilding", md1="healthy")
    life.fast()
    life.look("replaced", md0="healthy", md1="healthy")
    sh("echo write_error >/sys/block/md1/md/dev-sdb2/state; echo '2000 8' >/sys/block/md1/md/dev-sdb2/bad_blocks")
    life.look("bad-blocks", md0="healthy", md1="healthy")
    sh("mdadm --readonly /dev/md0")
    life.look("read-only", md0="healthy", md1="healthy")
    sh("mdadm --readwrite /dev/md0 && mdadm /dev/md0 --remove /dev/sda3 && mdadm --grow /dev/md0 --raid-devices=3 --force && sleep 1")
    life.look("wants-a-third", md0="degraded", md1="healthy")
    life.stop()


def starts(life):
    """Arrays that are put together without doing anything, or not whole."""
    sh = life.sh
    life.create("md0", 1, "sda1 sdb1", "--bitmap=none")
    sh("sleep 3; mdadm --stop /dev/md0; echo 1 >/sys/module/md_mod/parameters/start_ro; mdadm --assemble /dev/md0 /dev/sda1 /dev/sdb1")
    life.look("pending", md0="waiting")
    sh("echo 0 >/sys/module/md_mod/parameters/start_ro; mdadm --readwrite /dev/md0")
    life.fast()
    sh("mdadm --stop /dev/md0; mdadm --incremental /dev/sda1")
    life.look("inactive", **{sh("ls /sys/block | grep ^md").strip(): "inactive"})
    life.stop()
    life.create("md5", 1, "sda3 sda4")
    life.look("mirror-on-one-disk", md5="healthy")
    life.stop()
    sh("mkdir -p /etc/mdadm; echo CREATE names=yes >/etc/mdadm/mdadm.conf")
    life.create("md/home", 1, "sda1 sdb1")
    sh("rm /etc/mdadm/mdadm.conf")
    life.look("name-without-number", md_home="healthy")
    life.stop()


def levels(life):
    """Other levels, whole, degraded and broken."""
    sh = life.sh
    life.create("md0", 5, "sda1 sdb1 sda2")
    life.look("raid5", md0="healthy")
    sh("mdadm /dev/md0 --add /dev/sdb2; mdadm --grow /dev/md0 --raid-devices=4 --backup-file=/tmp/backup")
    life.attribute("md0/md/sync_action", "reshape")
    time.sleep(2)
    life.look("raid5-reshape", md0="reshaping")
    life.fast()
    sh("mdadm /dev/md0 --fail /dev/sda1")
    life.look("raid5-degraded", md0="degraded")
    life.machine.try_sh("mdadm /dev/md0 --fail /dev/sdb1 2>&1; sleep 1")
    life.look("raid5-two-lost", md0="failed")
    life.stop()
    life.create("md0", 5, "sda1 sdb1 sda2", "--assume-clean --write-journal=/dev/sdb4")
    life.look("raid5-journal", md0="healthy")
    life.stop()
    life.create("md0", 6, "sda1 sdb1 sda2 sdb2")
    sh("mdadm /dev/md0 --fail /dev/sda1; mdadm /dev/md0 --fail /dev/sdb1")
    life.look("raid6-two-lost", md0="degraded")
    life.stop()
    life.create("md0", 10, "sda1 sdb1 sda2 sdb2")
    sh("mdadm /dev/md0 --fail /dev/sda1; mdadm /dev/md0 --fail /dev/sda2")
    life.look("raid10-one-of-each-pair", md0="degraded")
    life.machine.try_sh("mdadm /dev/md0 --fail /dev/sdb1 2>&1; sleep 1")
    life.look("raid10-broken", md0="failed")
    life.stop()
    life.create("md0", 0, "sda1 sdb1", "")
    life.create("md1", "linear", "sda2 sdb2", "")
    life.look("raid0-and-linear", md0="healthy", md1="healthy")
    life.stop()
    # A container wants 32 MiB of every disk for itself.
    sh("cd /tmp; for n in 0 1; do truncate -s 96M disk$n; losetup /dev/loop$n disk$n; done")
    sh("mdadm --create /dev/md127 --run --metadata=ddf --raid-devices=2 /dev/loop0 /dev/loop1")
    life.look("container", md127="healthy")
    sh("mdadm --stop /dev/md127; losetup -d /dev/loop0; losetup -d /dev/loop1; rm /tmp/disk?")


def broken(life):
    """At the end, for it costs the disks."""
    sh = life.sh
    life.create("md0", 1, "sda1 sdb1")
    life.create("md1", 0, "sda2 sdb2", "")
    sh("mdadm /dev/md0 --fail /dev/sda1")
    life.machine.try_sh("mdadm /dev/md0 --fail /dev/sdb1 2>&1; sleep 1")
    life.look("mirror-broken", md0="failed", md1="healthy")
    life.machine.unplug("hd2")
    time.sleep(2)
    life.machine.try_sh("dd if=/dev/zero of=/dev/md1 bs=64k count=32 conv=fsync 2>&1; sleep 1")
    life.look("stripes-broken", md0="failed", md1="failed")


def arrays(bench):
    """md in every state of RAID 0, 1, 5, 6, 10, a container: the agent's word for each; MOORLINE_BLESS=1 keeps the kernel's words as fixtures"""
    life = Life(bench)
    for part in (mirrors, starts, levels, broken):
        try:
            part(life)
        except Failed as error:
            life.wrong.append(f"{part.__name__}: {error}")
            life.stop()
    expect(not life.wrong, "; ".join(life.wrong))
    bench.say(f"{life.number} states of Linux {life.release} are called by their names")
