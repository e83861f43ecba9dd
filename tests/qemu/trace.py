"""What the kernel did and when, from its own trace (kernel: Documentation/trace/kprobetrace.rst), on the clock that events are
stamped with: seconds since boot."""
import json
import re

# First two arguments, and where `name` stands in struct kernfs_node (include/linux/kernfs.h).
ARGUMENTS = {"armv7": ("%r0", "%r1", 12), "aarch64": ("%x0", "%x1", 16)}


class Trace:
    def __init__(self, machine):
        first, second, name = ARGUMENTS[machine.isa]
        self.machine = machine
        machine.sh("mount -t tracefs t /sys/kernel/tracing; cd /sys/kernel/tracing; echo boot >trace_clock")
        # sysfs_notify and its like; a light's brightness; a device that goes, just before its uevent;
        # something md does that takes time, just before its word of it.
        for probe in (f"p:notify kernfs_notify name=+0(+{name}({first})):string",
                      f"p:light led_set_brightness to={second}:u32",
                      "p:gone device_del", "p:start md_do_sync"):
            machine.sh(f"echo '{probe}' >>kprobe_events")
        machine.sh("echo 1 >events/kprobes/enable; cd /")
        machine.sh("(moorline events --follow --json | stamp >/tmp/events) & sleep 0.5")

    def clear(self):
        self.machine.sh("echo >/sys/kernel/tracing/trace")

    def kernel(self, kind, text=""):
        """Times of the kernel's doings of this kind whose line has this text."""
        lines = self.machine.sh(f"grep ' {kind}:' /sys/kernel/tracing/trace || true", 120).splitlines()
        found = [re.search(r"(\d+\.\d+): \w+: .*", line) for line in lines if text in line]
        return [float(f[1]) for f in found if f]

    def events(self, kind):
        """Time and data of the agent's events of this kind, as they reached a follower."""
        found = []
        for line in self.machine.sh("cat /tmp/events", 120).splitlines():
            at, _, text = line.partition(" ")
            event = json.loads(text)
            if event["event"] == kind:
                found.append((float(at), event["data"]))
        return found
