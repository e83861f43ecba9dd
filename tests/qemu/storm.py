"""Many pairings."""
from .bench import expect


def pairings(bench, count):
    """So many devices paired and removed again, one after the other."""
    machine = bench.machine
    machine.sh("moorline users add anna || true")
    for number in range(count):
        code = machine.cli("code anna")
        ended, words = bench.pair(code["code"], bench.where / "phone")
        expect(ended == 0, f"pairing {number}: {words}")
        # The second removal does not wait for the phone.
        machine.sh(f"moorline remove {code['device_id']} && moorline remove {code['device_id']} || true")
    expect(machine.cli("devices")["devices"] == [], "entries are left")
