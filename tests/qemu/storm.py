"""Many pairings."""
import concurrent.futures
import json

from .bench import expect

# Codes that are open at the same time, and phones that use them at the same time.
OPEN, PHONES = 20, 4


def pairings(bench, count):
    """So many devices paired and removed again."""
    machine = bench.machine
    machine.sh("moorline users add anna || true")
    with concurrent.futures.ThreadPoolExecutor(PHONES) as pool:
        for first in range(0, count, OPEN):
            number = min(OPEN, count - first)
            minted = machine.sh(f"for n in $(seq {number}); do moorline code anna --keep-others --json; done")
            codes = [json.loads(line) for line in minted.splitlines()]
            done = pool.map(lambda n: bench.pair(codes[n]["code"], bench.where / f"phone-{n}"), range(number))
            for number, (ended, words) in enumerate(done, first):
                expect(ended == 0, f"pairing {number}: {words}")
            devices = " ".join(code["device_id"] for code in codes)
            # The second removal does not wait for the phones.
            machine.sh(f"moorline remove {devices} && moorline remove {devices} || true")
    expect(machine.cli("devices")["devices"] == [], "entries are left")
