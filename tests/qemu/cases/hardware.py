"""Lights and buttons, by emulated hardware on the other side of real drivers."""
import time

from ..bench import expect, wait
from .mirror import BAY2, FAULT, disk_in, words

# Lines of the pl061, by boards/qemu/board.dtsi.
STATUS, RESET, COPY = 1 << 0, 5, 6
LEDS = "/sys/class/leds"


def hardware(bench):
    """gpio-leds: the fault light as its pin shows it, a kernel trigger taken and given back; gpio-keys: presses timed"""
    bench.net.all()
    machine = bench.boot(words=words(bench, 1, 2)).ready()
    shown = machine.cli("hardware")
    expect([d["bay"] for d in sorted(shown["disks"], key=lambda d: d.get("bay", 0)) if "bay" in d] == [1, 2], f"bays: {shown['disks']}")
    # Slow blinking until the session is there, then steady.
    wait("the status light alone", lambda: {machine.gpio() for _ in range(30) if not time.sleep(0.05)} == {STATUS}, 60)
    # The kernel blinks this light by itself until the agent needs it.
    machine.sh(f"echo timer >{LEDS}/qemu:red:fault/trigger; echo 90 >{LEDS}/qemu:red:fault/delay_on")
    machine.sh("mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 --bitmap=none --assume-clean /dev/sda /dev/sdb 2>&1")
    second = disk_in(machine, 2)
    machine.sh(f"mdadm /dev/md0 --fail /dev/{second} 2>&1")
    wait("fault light and bay light burn", lambda: machine.gpio() == STATUS | FAULT | BAY2, 10)
    pins = {machine.gpio() for _ in range(30) if not time.sleep(0.02)}
    expect(pins == {STATUS | FAULT | BAY2}, f"they do not burn steadily: {pins}")
    machine.sh(f"mdadm /dev/md0 --remove /dev/{second} 2>&1; mdadm --zero-superblock /dev/{second}; mdadm /dev/md0 --add /dev/{second} 2>&1")
    machine.wait("the trigger is given back", f"grep -q '\\[timer\\]' {LEDS}/qemu:red:fault/trigger && grep -qx 90 {LEDS}/qemu:red:fault/delay_on", 30)
    pins = {machine.gpio() & FAULT for _ in range(60) if not time.sleep(0.02)}
    expect(pins == {0, FAULT}, "the kernel's blinking is not back")

    machine.sh("(moorline events --follow --json | stamp >/tmp/events) & sleep 0.5")
    told = []
    for line, name, seconds in ((RESET, "reset", 0.2), (COPY, "usb-copy", 1.5)):
        machine.press(line, seconds)
        machine.wait("the release is told", f"grep -q '\"button\":\"{name}\",\"what\":\"released\"' /tmp/events", 10)
        held = int(machine.sh(f"sed -n 's/.*\"button\":\"{name}\",\"what\":\"released\",\"held_ms\":\\([0-9]*\\).*/\\1/p' /tmp/events"))
        expect(abs(held - seconds * 1000) < 150, f"{name} was held for {seconds} s, {held} ms are told")
        told.append(f"{name} {held} ms for {seconds * 1000:.0f}")
    # A short press of the reset button would open a code, and says why it does not: nobody is named for it.
    machine.wait("the press came to nothing", "grep -q '\"button\":\"reset\",\"step\":\"pairing\",\"done\":false' /tmp/events", 10)
    bench.say(f"lights by their pins; buttons: {', '.join(told)}")
