"""What came of it, as a table for the terminal and as a document."""
import os
import platform
import statistics

from disturbances import DISTURBANCES
from peers import PEERS
from world import run

# Below this no two are told apart: a probe goes out every 0.05 s.
SAME = 0.1
OURS = "moorline"


def outcome(result):
    """One run in words."""
    if "seconds" in result:
        return f"{result['seconds']:.2f} s"
    if "over" in result:
        return f"> {result['over']} s"
    return f"gave up: exit {result['gave_up']}" if "gave_up" in result else f"not measured: {result['failed']}"


def value(result):
    return result.get("seconds", float("inf"))


def number(seconds):
    return f"{seconds:.2f}" if seconds < 10 else f"{seconds:.1f}"


def middle(results):
    """The median; of an even number the worse one of the two, since one may be without end."""
    return statistics.median_high(map(value, results))


def cell(results, missing):
    if missing:
        return "not installed"
    measured = [r for r in results if "failed" not in r]
    if not measured:
        return "not measured"
    gave_up = [r for r in measured if "gave_up" in r]
    if gave_up:
        return outcome(gave_up[0]) + (f" ({len(gave_up)} of {len(measured)})" if len(measured) > 1 else "")
    over = next((outcome(r).removesuffix(" s") for r in measured if "over" in r), None)
    told = [over if value(r) == float("inf") else number(value(r)) for r in sorted(measured, key=value)]
    median = told[len(told) // 2]
    return median if len(told) == 1 else f"{median} ({told[-1]})"


def seconds(results, missing):
    peers = list(next(iter(results.values())))
    return [["seconds", *peers], *([d, *(cell(each[p], missing.get(p)) for p in peers)] for d, each in results.items())]


def ratio(theirs, ours):
    """How many times as long as moorline."""
    if not theirs or not ours or any("failed" in r for r in theirs + ours):
        return "–"
    them, us = max(middle(theirs), SAME), max(middle(ours), SAME)
    if them == us:
        return "1" if them < float("inf") else "neither"
    if us == float("inf"):
        return "0"
    return "never" if any("gave_up" in r for r in theirs) else f"> {120 / us:.0f}" if them == float("inf") else f"{them / us:.2g}" if them / us < 10 else f"{them / us:.0f}"


def ratios(results):
    peers = [p for p in next(iter(results.values())) if p != OURS]
    return [[f"times {OURS}", *peers], *([d, *(ratio(each[p], each[OURS]) for p in peers)] for d, each in results.items())]


def better(results):
    """Where a peer was back before moorline, by more than can be told apart."""
    lines = []
    for name, each in results.items():
        ours = middle(each[OURS])
        faster = [(p, middle(rs)) for p, rs in each.items() if p != OURS and rs and middle(rs) + SAME < ours]
        if faster:
            told = ", ".join(f"{p} ({number(s)} s)" for p, s in sorted(faster, key=lambda f: f[1]))
            lines.append(f"* {name}, {OURS} {number(ours) if ours < float('inf') else '> 120'} s: {told}")
    return lines


def aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows)


def piped(rows):
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *body]


def machine():
    return f"{os.cpu_count()} cores ({platform.machine()}), Linux {platform.release().split('-')[0]}, {run('sh', '-c', '. /etc/os-release; echo $PRETTY_NAME').strip()}"


METHOD = """Every pair of a peer and a disturbance has hosts of its own, made of network namespaces: the NAS, a router with NAT, and an internet with a name server (TTL 0) and one server program, which the
peer finds by the name `broker.lab`. The MQTT peers and moorline use the same Mosquitto with TLS 1.3. A world goes like this: server and peer start; one probe sees that it is usable; some quiet
seconds (2, and 3 more in each further run); the disturbance; the cure; from then the time until it is usable.

**Usable** means that something from the internet reaches the NAS, and goes on to: each of three seconds of questions is answered, and the time is that of the first answer. Tunnels (autossh, rathole):
connections to the forwarded port give their bytes back. MQTT subscribers: messages that are published in the internet are printed. moorline: it says that it is online, and counts the messages that are
published to its mailbox. There is a question every 0.05 s, each may take two seconds, and none before the cure, so that no question keeps a connection alive or finds that it is broken. Where there is no
cure the clock and the questions start with the disturbance. Tunnels are an exception there: knocking at a forwarded port keeps this sshd from noticing that its client is gone, so they are asked only
after they have had a new connection for 1.5 s, and the time is that of the connection. Times are good to 0.1 s while the machine has little else to do; a world in which the bench itself was held up for
more than 1.5 s is made anew.

A connection may live through a disturbance; then the time is that of TCP's next repetition. *Gave up* is a process that ended; nothing is put around a peer that does not come with it, but for the
loop in one column. Processes are killed, stopped and continued with all their children, the session processes of sshd among them.

What chance decides: autossh tries again at growing distances (about 2, 10 and 28 s after a loss that is answered by refusals), so a server that is away for ten seconds is met at once or eighteen seconds
later. moorline draws its waits, so that many boxes do not come back at the same moment: up to the spread after a loss, up to the back-off window after refusals. That is where a peer that does not wait
is faster. rathole has some spare connections that outlive the main one, answer a few times, and then no more until it has found out.

What surprises: mosquitto_sub 2.0 ends (exit 7) when a TLS connection ends without a farewell; without TLS it goes on, and so it does where it finds out by itself. autossh as usual needs
two minutes to notice a dead connection (30 s four times); then, where the server is the same, sshd as it comes still holds the forwarded port for the old session and refuses it to the new one: the
*> 120* of autossh."""


def markdown(results, missing, words):
    peers = [PEERS[p] for p in next(iter(results.values()))]
    lines = ["# Back after a disturbance: moorline and others", "",
             f"Generated by `scripts/bench session --runs {words.runs} --jobs {words.jobs} --markdown docs/bench-session.md`, on {machine()}, {words.jobs} worlds at a time."
             + ("" if words.contended is None else f" In {words.contended:.0%} of the time something there waited for a core."), "", METHOD, "",
             "| peer | version | settings |", "|---|---|---|"]
    lines += [f"| {p.name} | {'not installed: ' + missing[p.name] if p.name in missing else p.version()} | {p.how} |" for p in peers]
    lines += ["", "| disturbance | what happens |", "|---|---|", *(f"| {d} | {DISTURBANCES[d].__doc__} |" for d in results)]
    lines += ["", "## Seconds until usable again", "", f"Median of {words.runs} runs, the worst in brackets." if words.runs > 1 else "One run.", "", *piped(seconds(results, missing))]
    if OURS in next(iter(results.values())):
        lines += ["", "## As a multiple of moorline's", "", f"Of the medians; what is below {SAME} s counts as {SAME} s. *never*: it gave up.", "", *piped(ratios(results))]
        lines += ["", "## Where others are faster", "", *(better(results) or ["Nowhere in this run."])]
    return "\n".join(lines) + "\n"
