"""From power on to a confirmed session, whatever is late."""
import time

from ..bench import expect


def started(bench, late, cure, **more):
    """Boots with everything there but one part, lets it look around for some seconds, cures it: online by itself."""
    net = bench.net
    for part in ("dhcp", "dns", "broker"):
        if part != late:
            getattr(net, part)()
    machine = bench.boot(state=bench.ext4(), **more).ready()
    time.sleep(6)
    expect(not machine.cli("cloud")["online"], "it cannot be online yet")
    findings = [f["code"] for f in machine.cli("status")["findings"]]
    before = machine.uptime()
    cure(machine)
    machine.online()
    bench.say(f"online {machine.uptime() - before:.1f} s after the cure; shown before: {', '.join(findings) or 'nothing'}")


def cold(bench):
    """cold boot: online by itself"""
    bench.net.all()
    machine = bench.boot(state=bench.ext4()).ready()
    machine.online()
    bench.say(f"online {machine.uptime():.1f} s after the kernel's start")


def late_link(bench):
    """the cable comes 10 s late"""
    started(bench, None, lambda machine: machine.link(True), link=False)


def late_dhcp(bench):
    """the DHCP server comes late"""
    started(bench, "dhcp", lambda _: bench.net.dhcp())


def late_dns(bench):
    """the name server comes late"""
    started(bench, "dns", lambda _: bench.net.dns())


def late_broker(bench):
    """the broker comes late"""
    started(bench, "broker", lambda _: bench.net.broker())
