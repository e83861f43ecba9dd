"""Runs the cases; scripts/qemu-test is the command."""
import argparse
import concurrent.futures
import os
import sys
import time
import traceback
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "scripts"), str(TOP / "tests")]

from qemu.bench import Bench, tools  # noqa: E402
from qemu.cases import ALONE, CASES, IDLE, ONLY  # noqa: E402
from qemu.machine import last_words  # noqa: E402


# Times that a case which measures milliseconds may miss them.
TRIES = 3


def one(isa, case, number, long):
    """A case's outcome: error text or None, its figures, its seconds."""
    began = time.monotonic()
    bench, error = None, None
    try:
        bench = Bench(isa, case, number, long)
        CASES[case](bench)
    except Exception as caught:  # whatever it is, it is this case's failure
        error = f"{caught}"
        if bench:
            (bench.where / "failure.txt").write_text(traceback.format_exc())
    finally:
        facts = bench.facts if bench else []
        if bench:
            bench.close(keep=error is not None)
    return error, facts, time.monotonic() - began


def report(isa, case, error, facts, seconds):
    """The case's line; whether it failed."""
    print(f"{'ok  ' if error is None else 'FAIL'} {isa:7} {case:13} {seconds:4.0f} s  {'; '.join(facts)}", flush=True)
    if error is not None:
        where = TOP / "target/qemu" / f"{isa}-{case}"
        print(f"     {error}\n     logs are in {where.relative_to(TOP)}; the console's end:", flush=True)
        print("\n".join(f"     | {line}" for line in last_words(where).splitlines()[-15:]), flush=True)
    return error is not None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("isas")
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="guests at a time; they also wait")
    words = parser.parse_intermixed_args()
    unknown = [c for c in words.cases if c not in CASES]
    if unknown:
        sys.exit(f"qemu-test: no case {' '.join(unknown)}; there are {' '.join(CASES)}")
    isas = words.isas.split(",")
    for isa in isas:
        tools(isa)
    wanted = [(isa, case) for case in (words.cases or CASES) for isa in isas if ONLY.get(case, isa) == isa]
    began, failed = time.monotonic(), 0
    # What measures milliseconds has the machine for itself.
    for number, (isa, case) in enumerate(wanted):
        if case not in ALONE:
            continue
        for left in reversed(range(TRIES)):
            error, facts, seconds = one(isa, case, number, words.long)
            if error is None or "ms after" not in error or left == 0:
                break
            # The host's own hiccups are longer than what is measured; they are told, and a real slowness stays.
            print(f"late {isa:7} {case:13} {seconds:4.0f} s  {error}; once more", flush=True)
        failed += report(isa, case, error, facts, seconds)
    # Waiting needs no processor: the idle cases run beside the others, from the start.
    with (concurrent.futures.ProcessPoolExecutor(max(1, words.jobs)) as busy,
          concurrent.futures.ProcessPoolExecutor(max(1, 2 * len(IDLE))) as idle):
        jobs = {}
        for number, (isa, case) in enumerate(wanted):
            if case in ALONE:
                continue
            pool = idle if case in IDLE else busy
            jobs[pool.submit(one, isa, case, number, words.long)] = (isa, case)
        for job in concurrent.futures.as_completed(jobs):
            failed += report(*jobs[job], *job.result())
    print(f"{len(wanted) - failed} of {len(wanted)} cases passed in {time.monotonic() - began:.0f} s", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
