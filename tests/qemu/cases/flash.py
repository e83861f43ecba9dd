"""What the agent costs a flash, and that it costs nothing while nothing happens."""
import time

from firmware.board import disks

from ..bench import expect, wait
from ..flash import boot, store, wear
from ..storm import pairings
from .mirror import switches

STORE = "records_per_day = 1000000"
# The console of the AST2600 board.
EVB = {"etc/inittab": b"::sysinit:/etc/init.d/rcS\nttyS4::respawn:/bin/sh\n::ctrlaltdel:/sbin/reboot\n"}


def cost(kind, many):
    """A case: this many pairings, each with its removal, and what they cost."""

    def case(bench):
        # So many fill both segments of raw flash; that is what a start then has to read.
        count = {"jffs2-spi": many, "mtd": 415}.get(kind, 1000) if bench.long else many
        bench.net.all()
        machine = boot(bench, kind, initrd=bench.initrd(store=store(kind, STORE), files=EVB if kind == "jffs2-spi" else None)).ready()
        machine.online()
        machine.sh("moorline status >/dev/null; sleep 5")
        idle, before = bench.resident(), wear(machine, kind)
        pairings(bench, count)
        spent, resident = wear(machine, kind) - before, bench.resident()
        expect(spent.bytes > 0, "nothing reached the flash: this measures nothing")
        expect(spent.violations == 0, f"the rules of flash were broken {spent.violations} times")
        expect(resident <= 5 * 1024, f"{resident} KiB resident")
        # UBI and JFFS2 finish what they began.
        time.sleep(10)
        before = wear(machine, kind)
        time.sleep(60 if bench.long else 20)
        rest = wear(machine, kind) - before
        # A disk's flushes are those of this test's own sync.
        expect(rest.bytes == 0 and (kind == "ext4" or rest.erases == 0), f"{rest.bytes} bytes and {rest.erases} erases while idle")
        told = machine.cli("status")["store"]
        years = f"; at least {told['years_at_least']} years if a million records a day were written, as is allowed here" if "years_at_least" in told else ""
        expect(machine.try_sh("moorline store verify")[0] == 0, "the store is not sound")
        worst = told["worst_commit_ms"]
        # What a start has to read is all of it, however full.
        machine.sh(f"kill {machine.agent()}; sleep 2")
        wait("the agent is there again", lambda: machine.try_sh("moorline status >/dev/null")[0] == 0)
        years += f"; the longest commit took {worst} ms, the next start read the store in {machine.cli('status')['store']['opened_in_ms']} ms"
        what = "flushes" if kind == "ext4" else "erases"
        bench.say(f"{count} pairings and removals: {spent.bytes:,} bytes and {spent.erases:,} {what} reached the flash, "
                  f"{told['bytes_programmed']:,} of them the agent's; then none; {idle} KiB resident before, {resident} after{years}")

    case.__doc__ = f"pairings with the store on {kind}: bytes and erases counted, memory, and nothing while idle"
    return case


def asleep(bench):
    """five minutes online: no read or write of a data disk, no byte to the flash, few wake-ups"""
    seconds = 3600 if bench.long else 300
    bench.net.all()
    files = [bench.disk(f"disk{n}.img", 64) for n in (1, 2)]
    machine = boot(bench, "ubifs", words=[w for line in disks(*files) for w in line.split()]).ready()
    machine.sh("mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 --bitmap=none --assume-clean /dev/sda /dev/sdb 2>&1")
    machine.online()
    bench.paired()
    machine.sh("moorline hardware >/dev/null; moorline arrays >/dev/null; sleep 15; sync")

    def counted():
        disks = machine.sh("cat /sys/block/sda/stat /sys/block/sdb/stat /sys/block/md0/stat")
        return disks.split(), wear(machine, "ubifs"), switches(machine), machine.cli("cloud")["counters"]["round_trips"]

    disks_before, flash_before, woken, trips = counted()
    began = machine.uptime()
    time.sleep(seconds)
    disks_after, flash_after, woken_after, trips_after = counted()
    passed = machine.uptime() - began
    expect(disks_after == disks_before, f"a data disk was touched: {disks_before} became {disks_after}")
    rest = flash_after - flash_before
    expect((rest.bytes, rest.erases) == (0, 0), f"{rest.bytes} bytes and {rest.erases} erases")
    expect(trips_after > trips, "the session was not active")
    loop, threads = ((after - before) / passed * 60 for after, before in zip(woken_after, woken))
    expect(loop < 10, f"{loop:.1f} wake-ups a minute")
    bench.say(f"{passed:.0f} s: disks untouched, 0 bytes and 0 erases, {trips_after - trips} round trips, its loop woken {loop:.1f} times a minute, "
              f"all threads {threads:.1f}, "
              f"{bench.resident()} KiB resident")
