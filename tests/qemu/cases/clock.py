"""Boxes that do not know the date."""
import re

from ..bench import expect


def boot(bench, rtc):
    bench.net.all()
    machine = bench.boot(state=bench.ext4(), rtc=rtc).ready()
    machine.online()
    bench.paired()
    shown = "\n".join(machine.sh(f"moorline {words}") for words in
                      ("status", "status --json", "devices", "devices --json", "code anna", "code anna --json", "hardware", "cloud", "events"))
    return machine, shown + machine.sh("cat /var/log/moorline.log")


def clock_1970(bench):
    """RTC at 1970, no NTP: session, pairing, and no date anywhere"""
    machine, said = boot(bench, "1970-01-01T00:00:00")
    expect(machine.sh("date +%Y") == "1970", "the guest knows the date: this shows nothing")
    expect(machine.cli("status")["clock"]["state"] == "unset", "the clock is not unset")
    dates = re.findall(r"(?:19|20)\d\d-\d\d|19[67]\d|_at\"", said)
    expect(not dates, f"dates were shown: {dates}")
    bench.say("online and paired at 1970, no date shown")


def clock_2038(bench):
    """the clock passes 2038-01-19T03:14:08: nothing notices"""
    machine, _ = boot(bench, "2038-01-19T03:13:30")
    machine.wait("32 bits of seconds are full", "[ $(cut -d. -f1 /proc/uptime) -gt 45 ]", 120)
    machine.link(False)
    machine.wait("it goes offline", "moorline cloud --json | grep -q '\"online\":false'", 20)
    machine.link(True)
    machine.online()
    bench.paired()
    before = int(machine.sh("cut -d. -f1 /proc/uptime"))
    expect(machine.cli("status")["uptime_s"] <= before + 1, "the uptime has jumped")
    # The certificates end in 2044: an agent that believed 1902 or 1970 would call them not yet valid.
    bench.say("session, handshake and pairing after the end of 32 bits")
