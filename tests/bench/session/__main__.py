"""Runs the worlds, one for each peer, disturbance and run; scripts/bench session is the command."""
import argparse
import concurrent.futures
import json
import os
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "lab"), str(HERE.parents[1])]

from disturbances import DISTURBANCES  # noqa: E402
from namespaces import TOP  # noqa: E402
from others import installed, waited  # noqa: E402
from peers import PEERS  # noqa: E402
from report import aligned, markdown, outcome, seconds  # noqa: E402
from world import Failed, World  # noqa: E402

# How long a peer is waited for, at the start and after the cure.
UP_MAX, BACK_MAX = 30, 120
# A step of the bench itself that takes longer spoils a measurement; it is made anew, so many times.
LATE_MAX, TRIES = 1.5, 4
# A connection of that age is no attempt that fails.
STAYS = 1.5


class Busy(Exception):
    """The machine had so much else to do that this world is worth nothing."""


def usable(world, peer, patience):
    """Seconds until it is, or what became of it."""
    began = last = time.monotonic()
    with peer.probe(world) as probe:
        # One that was answered in time may still have to show that it stays so.
        while last < began + patience or (probe.first and probe.first[1] < began + patience):
            since = probe.step()
            if since:
                return {"seconds": since - began}
            code = peer.ended(world)
            if code is not None:
                return {"gave_up": code}
            now = time.monotonic()
            if now > last + LATE_MAX:
                raise Busy(f"a probe took {now - last:.1f} s")
            last = now
    return {"over": patience}


def renewed(world, peer, before, patience):
    """Without a question: seconds until there is a connection that was not there before, and stays."""
    began, seen = time.monotonic(), {}
    while time.monotonic() < began + patience:
        now = time.monotonic()
        seen = {c: seen.get(c, now) for c in peer.connections(world) - before}
        steady = [since for since in seen.values() if now > since + STAYS]
        if steady:
            return min(steady) - began
        if peer.ended(world) is not None:
            break
        time.sleep(0.05)
    return None


def steps(world, peer, disturbance, settle):
    script = DISTURBANCES[disturbance](world, peer)
    next(script)
    world.dns()
    peer.serve(world)
    peer.start(world)
    first = usable(world, peer, UP_MAX)
    if "seconds" not in first:
        raise Failed(f"never usable: {outcome(first)}")
    time.sleep(settle)
    before = peer.connections(world)
    hold, began = next(script), time.monotonic()
    if not hold and peer.shy:
        since = renewed(world, peer, before, BACK_MAX)
        result = usable(world, peer, 10) if since is not None else {"over": BACK_MAX}
        # The time is that of the connection, which was not asked at once.
        return {"seconds": since} if "seconds" in result else {"over": BACK_MAX} if "over" in result else result
    time.sleep(hold)
    for _ in script:
        pass
    late = time.monotonic() - began - hold
    if late > LATE_MAX:
        raise Busy(f"the cure took {late:.1f} s")
    code = peer.ended(world)
    return usable(world, peer, BACK_MAX) if code is None else {"gave_up": code}


def one(number, name, disturbance, run):
    """As often as it takes to be left in peace."""
    for _ in range(TRIES):
        result = once(number, name, disturbance, run)
        if "busy" not in result:
            return result
    return {"failed": result["busy"]}


def once(number, name, disturbance, run):
    world, peer, kept = None, PEERS[name], True
    try:
        world = World(f"{disturbance}-{name}-{run}", number, TOP / "target/bench/session")
        # Later in each run, for every peer alike: where a keepalive stands in its round is chance.
        result = steps(world, peer, disturbance, 2 + 3 * (run - 1))
        kept = os.environ.get("MOORLINE_BENCH_KEEP") is not None
        return result
    except Busy as why:
        return {"busy": f"the machine was too busy: {why}"}
    except Exception as caught:  # whatever it is, the others go on
        if world:
            (world.where / "failure.txt").write_text(traceback.format_exc())
        return {"failed": f"{type(caught).__name__}: {caught}"}
    finally:
        if world:
            world.close(keep=kept)


def chosen(words, known, what):
    names = words.split(",") if words else list(known)
    unknown = [n for n in names if n not in known]
    if unknown:
        sys.exit(f"bench session: no {what} {' '.join(unknown)}; --list has them")
    return names


def main():
    parser = argparse.ArgumentParser(prog="bench session")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--peers", help="names with commas between them")
    parser.add_argument("--disturbances", help="names with commas between them")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=6 * (os.cpu_count() or 1), help="worlds at a time; they mostly wait")
    parser.add_argument("--markdown")
    parser.add_argument("--json")
    words = parser.parse_args()
    if words.list:
        for name, peer in PEERS.items():
            print(f"{name:22}{peer.how}")
        print()
        for name, script in DISTURBANCES.items():
            print(f"{name:22}{script.__doc__}")
        return
    peers, disturbances = chosen(words.peers, PEERS, "peer"), chosen(words.disturbances, DISTURBANCES, "disturbance")
    here, missing = installed(peers, PEERS)
    pressure, began, results, failed = waited(), time.monotonic(), {d: {p: [] for p in peers} for d in disturbances}, 0
    # Those of one disturbance side by side, so that what else the machine does then touches all of them.
    wanted = [(p, d, r) for r in range(1, words.runs + 1) for d in disturbances for p in here]
    with concurrent.futures.ProcessPoolExecutor(words.jobs) as pool:
        jobs = {pool.submit(one, number, *each): each for number, each in enumerate(wanted)}
        for done, job in enumerate(concurrent.futures.as_completed(jobs), 1):
            (peer, disturbance, run), result = jobs[job], job.result()
            results[disturbance][peer].append(result)
            failed += "failed" in result
            print(f"{done:3}/{len(wanted)}  {disturbance:16} {peer:20} run {run}  {outcome(result)}", flush=True)
    words.contended = None if pressure is None else (waited() - pressure) / (time.monotonic() - began)
    if words.json:
        Path(words.json).write_text(json.dumps({"results": results, "missing": missing, "words": vars(words)}, indent=1))
    print()
    print(aligned(seconds(results, missing)))
    if words.markdown:
        Path(words.markdown).write_text(markdown(results, missing, words))
    print(f"{len(wanted)} worlds in {time.monotonic() - began:.0f} s" + (f"; {failed} could not be measured, their logs are in target/bench/session" if failed else ""))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
