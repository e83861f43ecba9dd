"""Runs the cases; scripts/fault-lab is the command.

A case is a generator. What it does before its first `yield` prepares the world; the session then comes up. Up to the second it
makes the fault, whose value says how long that is held; then findings and the doctor's verdict are taken. What follows is the
cure, and the time until the session is confirmed again is measured."""
import argparse
import concurrent.futures
import json
import os
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cases import CASES  # noqa: E402
from world import Failed, World  # noqa: E402


def expect(holds, what):
    if not holds:
        raise Failed(what)


def observe(world, case, facts):
    """Under the fault: findings, and what the doctor says."""
    for left in reversed(range(case.tries)):
        try:
            diagnose(world, case, facts)
            break
        except Failed:
            if not left:
                raise
    if case.findings:
        world.wait(f"a finding of {case.findings}", lambda: case.findings & set(world.codes()), 20)
    facts["findings"] = world.codes()


def diagnose(world, case, facts):
    began = time.monotonic()
    diagnosis = world.call("POST", "/v1/doctor")
    facts["doctor_s"] = round(time.monotonic() - began, 1)
    first = diagnosis.get("first_failure")
    facts["verdict"] = first["code"] if first else "nothing"
    everything = [c.get("code") for c in diagnosis["checks"]]
    (world.where / "doctor.json").write_text(json.dumps(diagnosis, indent=1))
    expect(facts["doctor_s"] <= 15, f"the doctor took {facts['doctor_s']} s")
    if case.doctor:
        named = facts["verdict"] in case.doctor or (case.anywhere and case.doctor & set(everything))
        expect(named, f"the doctor says {facts['verdict']} and not {' or '.join(sorted(case.doctor))}")
        if case.anywhere:
            facts["verdict"] = next(c for c in everything if c in case.doctor)
    expect(any(case.said in c["detail"] for c in diagnosis["checks"]), f"no line of the doctor says {case.said}")


def steps(world, case, facts):
    script = case.script(world)
    next(script)
    began = time.monotonic()
    world.start_agent()
    if case.comes_up:
        world.wait("the session", world.is_online)
        facts["up_s"] = round(time.monotonic() - began, 2)
        expect(facts["up_s"] <= case.up_within, f"the session took {facts['up_s']} s to come up")
        time.sleep(0.5)
    pid, rss, descriptors, before = world.agent.pid, world.resident(), world.descriptors(), world.codes()
    attempts, packets = world.get("/v1/cloud")["counters"]["attempts"], world.packets()
    hold = next(script)
    struck = time.monotonic()
    while time.monotonic() < struck + hold:
        if case.stays_online:
            expect(world.is_online(), "the session was lost")
        time.sleep(0.1)
    observe(world, case, facts)
    facts["held_s"] = round(time.monotonic() - struck, 1)
    counters = world.get("/v1/cloud")["counters"]
    facts["attempts"], facts["packets"] = counters["attempts"] - attempts, world.packets() - packets
    cured = time.monotonic()
    for _ in script:
        pass
    world.wait("the session after the cure", world.is_online)
    facts["back_s"] = round(time.monotonic() - cured, 2)
    expect(facts["back_s"] <= case.back_within, f"{facts['back_s']} s from the cure to the session, at most {case.back_within} are allowed")
    expect(world.agent.poll() is None and world.agent.pid == pid, "the process is another one")
    # A session that was not there before has its socket now.
    allowed = descriptors + (not case.comes_up)
    world.wait("as many descriptors as before", lambda: world.descriptors() <= allowed, 8)
    facts["rss_kib"] = world.resident() - rss
    expect(facts["rss_kib"] <= case.more_kib, f"{facts['rss_kib']} KiB more of memory")
    ended = time.monotonic()
    while left := set(world.codes()) - set(before) - case.lasting:
        expect(time.monotonic() < ended + case.ebb_within, f"findings that stay after the cure: {left}")
        time.sleep(0.2)


def one(name, number):
    case, world, error, facts = CASES[name], None, None, {}
    began = time.monotonic()
    try:
        world = World(name, number)
        steps(world, case, facts)
    except Exception as caught:  # whatever it is, it is this case's failure
        error = f"{type(caught).__name__}: {caught}" if not isinstance(caught, Failed) else str(caught)
        if world:
            (world.where / "failure.txt").write_text(traceback.format_exc())
    finally:
        if world:
            world.close(keep=error is not None)
    facts["seconds"] = round(time.monotonic() - began, 1)
    return error, facts


def told(facts):
    words = []
    if "back_s" in facts:
        words.append(f"back after {facts['back_s']:.2f} s")
    if "attempts" in facts:
        words.append(f"{facts['attempts']} attempts and {facts['packets']} packets in {facts['held_s']} s")
    if "verdict" in facts:
        words.append(f"doctor: {facts['verdict']} ({facts['doctor_s']} s)")
    if "rss_kib" in facts:
        words.append(f"{facts['rss_kib']:+} KiB")
    return "; ".join(words)


def markdown(results):
    rows = ["# The fault lab", "", "Generated by `scripts/fault-lab --markdown docs/fault-lab.md`: the agent as it ships, in network namespaces with Mosquitto, dnsmasq, nftables and "
            "miniupnpd; keepalive 10 s, spread 2 s, largest back-off window 8 s. *Back*: from the cure to a confirmed round trip; 0 where the session never went away. The process was the "
            "same afterwards in each case, with as many descriptors and at most 512 KiB more of memory (2 MiB where devices have come).", "",
            "| case | fault | back (s) | attempts | packets | held (s) | findings | doctor's verdict |", "|---|---|---|---|---|---|---|---|"]
    for name, (_, facts) in results.items():
        text = CASES[name].script.__doc__.strip()
        findings = ", ".join(f"`{c}`" for c in facts.get("findings", [])) or "none"
        rows.append(f"| {name} | {text} | {facts['back_s']:.2f} | {facts['attempts']} | {facts['packets']} | {facts['held_s']:.0f} | {findings} | `{facts['verdict']}` |")
    return "\n".join(rows) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="fault-lab")
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--markdown")
    parser.add_argument("--json")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="cases at a time; they mostly wait")
    words = parser.parse_args()
    if words.list:
        for name, case in CASES.items():
            print(f"{name:24}{case.script.__doc__.strip()}")
        return
    unknown = [c for c in words.cases if c not in CASES]
    if unknown:
        sys.exit(f"fault-lab: no case {' '.join(unknown)}; --list has them")
    wanted, began, results, failed = words.cases or list(CASES), time.monotonic(), {}, 0
    with concurrent.futures.ProcessPoolExecutor(words.jobs) as pool:
        jobs = {pool.submit(one, name, number): name for number, name in enumerate(wanted)}
        for job in concurrent.futures.as_completed(jobs):
            name, (error, facts) = jobs[job], job.result()
            results[name] = (error, facts)
            failed += error is not None
            print(f"{'ok  ' if error is None else 'FAIL'} {name:22} {facts['seconds']:5.1f} s  {told(facts)}", flush=True)
            if error is not None:
                print(f"     {error}\n     logs are in target/fault-lab/{name}", flush=True)
    results = {name: results[name] for name in wanted}
    if words.json:
        Path(words.json).write_text(json.dumps({n: {"error": e, **f} for n, (e, f) in results.items()}, indent=1))
    if words.markdown and not failed:
        Path(words.markdown).write_text(markdown(results))
    print(f"{len(wanted) - failed} of {len(wanted)} cases passed in {time.monotonic() - began:.0f} s", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
