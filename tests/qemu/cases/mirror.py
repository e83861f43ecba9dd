"""A mirror of two disks in its life, on the kernel's own md."""
import time

from firmware.board import disks

from ..bench import expect, wait
from ..trace import Trace

MD = "/sys/block/md0/md"
# What the agent is given from the kernel's word to its event and its light, in seconds.
PROMPT = {"aarch64": 0.1, "armv7": 0.15}
# /proc/uptime has hundredths.
RESOLUTION = 0.01
# Lines of the pl061, by boards/qemu/board.dtsi.
FAULT, BAY2 = 1 << 1, 1 << 4


def words(bench, *numbers):
    files = [bench.disk(f"disk{n}.img", 64) for n in (1, 2)]
    return [w for line in disks(*files) for w in line.split() if all(f"{part}{n}" not in line for n in (1, 2) if n not in numbers for part in ("disk", "bay"))]


def degraded(trace):
    """When md said that a disk is missing."""
    return trace.kernel("notify", '"degraded"')[0]


def begun(trace):
    """When md said that it has begun something: its last word before its thread got the processor."""
    start = trace.kernel("start")[0]
    return max((at for at in trace.kernel("notify", '"sync_action"') if at <= start), default=start)


def ended(trace):
    """When md said last that it has ended something."""
    return trace.kernel("notify", '"sync_action"')[-1]


def pulled(trace):
    """When the kernel began to take a device away."""
    return trace.kernel("gone")[0]


def disk_in(machine, bay):
    """sdX of the disk in a bay: letters go by who answered first."""
    return machine.sh(f"ls /sys/devices/platform/*.pcie/pci0000:00/0000:00:0{bay + 4}.0/virtio*/host*/target*/*/block")


def state(machine):
    found = machine.cli("arrays")["arrays"]
    return found[0]["state"] if found else None


def findings(machine):
    return sorted(f["code"] for f in machine.cli("status")["findings"] if f["code"].startswith("array"))


def mirror(bench):
    """md RAID1: first synchronisation, fail, remove, add, rebuild, check, pull, broken; event and light within 100 ms (150 on the emulated Cortex-A7)"""
    bench.net.all()
    machine = bench.boot(words=words(bench, 1, 2)).ready()
    trace = Trace(machine)
    late = {}

    def step(name, to, word, act, lights=None):
        """Does something; the array becomes `to`, told and shown within PROMPT of the kernel's word, whose time `word` finds."""
        trace.clear()
        seen = len(trace.events("array"))
        act()
        wait(f"{name}: the array is {to}", lambda: any(e["state"] == to for _, e in trace.events("array")[seen:]), 90)
        time.sleep(0.7)
        told = next(at for at, e in trace.events("array")[seen:] if e["state"] == to)
        kernel = word(trace)
        late[name] = told - kernel
        expect(late[name] <= PROMPT[bench.isa] + RESOLUTION, f"{name}: told {late[name] * 1000:.0f} ms after the kernel's word")
        if lights is not None:
            expect(machine.gpio() & (FAULT | BAY2) == lights, f"{name}: lights {machine.gpio():#04x}, {lights:#04x} wanted")
            changed = trace.kernel("light", "moorline-")
            if changed:
                late[f"{name}, light"] = changed[0] - kernel
                expect(changed[0] - kernel <= PROMPT[bench.isa], f"{name}: light {changed[0] - kernel:.3f} s after the kernel's word")

    # Slow, or md's own threads have the only processor for the first tenth of a second.
    machine.sh("echo 100 >/proc/sys/dev/raid/speed_limit_min; echo 400 >/proc/sys/dev/raid/speed_limit_max")
    machine.sh("mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 --bitmap=none /dev/sda /dev/sdb 2>&1")
    second = disk_in(machine, 2)
    wait("the first synchronisation is seen", lambda: state(machine) == "synchronising", 10)
    expect(findings(machine) == [], f"the first synchronisation raised {findings(machine)}")
    step("synchronised", "healthy", ended, lambda: machine.sh("echo 200000 >/proc/sys/dev/raid/speed_limit_max"), 0)
    expect(not [e for _, e in trace.events("finding") if e["code"].startswith("array")], "the first synchronisation raised a finding")

    step("fail", "degraded", degraded, lambda: machine.sh(f"mdadm /dev/md0 --fail /dev/{second} 2>&1"), FAULT | BAY2)
    expect(findings(machine) == ["array-degraded"], f"findings {findings(machine)}")
    machine.sh(f"mdadm /dev/md0 --remove /dev/{second} 2>&1")
    wait("a bay without a disk shows no fault", lambda: machine.gpio() & (FAULT | BAY2) == FAULT, 5)

    machine.sh(f"echo 100 >{MD}/sync_speed_min; echo 400 >{MD}/sync_speed_max; mdadm --zero-superblock /dev/{second}")
    step("add", "rebuilding", begun, lambda: machine.sh(f"mdadm /dev/md0 --add /dev/{second} 2>&1"))
    time.sleep(1)
    shown = machine.cli("arrays")["arrays"][0]
    expect(shown.get("percent", 100) < 100, f"no progress: {shown}")
    expect(findings(machine) == ["array-rebuilding"], f"findings {findings(machine)}")
    step("rebuilt", "healthy", ended, lambda: machine.sh(f"echo 200000 >{MD}/sync_speed_max"), 0)
    expect(findings(machine) == [], f"findings {findings(machine)}")

    machine.sh(f"echo 100 >{MD}/sync_speed_min; echo 400 >{MD}/sync_speed_max")
    step("check", "checking", begun, lambda: machine.sh(f"echo check >{MD}/sync_action"), 0)
    step("checked", "healthy", ended, lambda: machine.sh(f"echo 200000 >{MD}/sync_speed_max"), 0)
    expect(findings(machine) == [], f"findings {findings(machine)}")

    step("pulled while idle", "degraded", pulled, lambda: machine.unplug("hd2"), FAULT | BAY2)
    expect(machine.sh(f"cat {MD}/degraded") == "0", "md has noticed by itself: this shows nothing")
    expect("no longer there" in str(machine.cli("arrays")), "it does not say which disk")
    seen = len(trace.events("array"))
    machine.sh("dd if=/dev/zero of=/dev/md0 bs=64k count=4 conv=fsync 2>/dev/null; sleep 1")
    expect(machine.sh(f"cat {MD}/degraded") == "1", "md has not noticed the missing disk")
    expect(len(trace.events("array")) == seen, "md's noticing is no news")

    machine.plug_disk(2)
    wait("the disk is back", lambda: machine.try_sh("ls /sys/devices/platform/*.pcie/pci0000:00/0000:00:06.0/virtio*/host*/target*/*/block")[0] == 0)
    second = disk_in(machine, 2)
    machine.sh("mdadm /dev/md0 --fail detached --remove detached 2>&1; true")
    step("back", "healthy", ended, lambda: machine.sh(f"mdadm --zero-superblock /dev/{second} 2>&1; mdadm /dev/md0 --add /dev/{second} 2>&1"), 0)

    before = switches(machine)
    time.sleep(20)
    woken = (switches(machine)[0] - before[0]) * 3
    expect(woken <= 30, f"woken up {woken} times a minute: it polls")

    machine.unplug("hd2")
    machine.sh("sleep 1; dd if=/dev/zero of=/dev/md0 bs=64k count=4 conv=fsync 2>/dev/null; true")
    seen = len(trace.events("array"))
    machine.unplug("hd1")
    wait("both disks are gone: failed", lambda: state(machine) == "failed", 10)
    machine.try_sh("dd if=/dev/zero of=/dev/md0 bs=64k count=4 conv=fsync 2>/dev/null; sleep 1")
    word = machine.sh(f"cat {MD}/array_state")
    expect(state(machine) == "failed" and findings(machine) == ["array-failed"], f"{word}: {state(machine)}, {findings(machine)}")
    slowest = max(late, key=late.get)
    bench.say(f"{len(late)} changes, the slowest told {late[slowest] * 1000:.0f} ms after the kernel's word ({slowest}); "
              f"woken {woken} times a minute; at the end md says {word}")


def switches(machine):
    """How often the agent went to sleep of its own accord so far: its loop, and all its threads. The reactor's helper thread naps
    some ten times, for milliseconds, after each thing that happened."""
    agent = machine.agent()
    text = machine.sh(f"grep ^voluntary /proc/{agent}/status; cat /proc/{agent}/task/*/status | grep ^voluntary")
    loop, *all_ = (int(line.split()[1]) for line in text.splitlines())
    return loop, sum(all_)


def degraded_at_boot(bench):
    """a mirror that lost a disk while the box was off: found at boot, light on"""
    bench.net.all()
    machine = bench.boot(words=words(bench, 1, 2)).ready()
    machine.sh("mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 --bitmap=none --assume-clean /dev/sda /dev/sdb 2>&1")
    machine.sh("dd if=/dev/zero of=/dev/md0 bs=64k count=4 conv=fsync 2>/dev/null; mdadm --stop /dev/md0 2>&1; sync")
    machine.close()
    machine = bench.boot(words=words(bench, 1), append="test.raid").ready()
    expect(state(machine) == "degraded", f"it is {state(machine)}")
    wait("the finding is raised", lambda: findings(machine) == ["array-degraded"], 15)
    expect(machine.gpio() & (FAULT | BAY2) == FAULT, f"lights {machine.gpio():#04x}")
    bench.say("finding and light are there")
