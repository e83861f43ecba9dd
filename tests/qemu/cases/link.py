"""The cable, out and in."""
import statistics
import time

from ..bench import expect, wait
from ..trace import Trace


def link(bench):
    """link flaps: noticed at once, back online within 1 s of link-up"""
    bench.net.all()
    machine = bench.boot(state=bench.ext4()).ready()
    machine.online()
    trace = Trace(machine)
    machine.sh("cd /sys/kernel/tracing; echo 'p:down netif_carrier_off' >>kprobe_events; echo 'p:up netif_carrier_on' >>kprobe_events; "
               "echo 'p:word netdev_state_change' >>kprobe_events; "
               "echo 1 >events/kprobes/enable; cd /")
    # The kernel collects changes of carriers for up to a second before it tells anybody (net/core/link_watch.c).
    pulled, noticed, said, back = [], [], [], []
    for rest in (0.5, 2, 1, 5, 0.5, 3):
        trace.clear()
        seen = len(trace.events("session"))
        phases = lambda: trace.events("session")[seen:]  # noqa: E731
        machine.link(False)
        wait("the loss is told", lambda: any(e["phase"] == "no-link" for _, e in phases()), 20)
        time.sleep(rest)
        machine.link(True)
        wait("online again", lambda: any(e["phase"] == "online" for _, e in phases()), 30)
        told = next(at for at, e in phases() if e["phase"] == "no-link")
        pulled.append(told - trace.kernel("down")[0])
        noticed.append(told - trace.kernel("word")[0])
        said.append(next(at for at in trace.kernel("word") if at >= trace.kernel("up")[0]) - trace.kernel("up")[0])
        back.append(next(at for at, e in phases() if e["phase"] == "online") - trace.kernel("up")[0])
    expect(max(noticed) <= 0.11, f"noticed {max(noticed):.2f} s after the kernel's word")
    expect(max(pulled) <= 1.2, f"noticed {max(pulled):.2f} s after the cable was pulled")
    expect(max(back) <= 1.0, f"back after {', '.join(f'{b:.2f}' for b in back)} s, told by the kernel after {', '.join(f'{b:.2f}' for b in said)} s")
    bench.say(f"{len(back)} flaps: noticed {max(noticed) * 1000:.0f} ms after the kernel's word at most, online {statistics.median(back) * 1000:.0f} ms "
              f"(at most {max(back) * 1000:.0f} ms) after link-up, in the guest's time")
