"""What came of it, as tables for the terminal and as a document."""
import os
import platform
import statistics
import subprocess

from peers import PEERS

# Direction and streams.
WAYS = [("down", 1), ("down", 8), ("up", 1), ("up", 8)]
HEADS = {("down", 1): "download, 1 stream", ("down", 8): "download, 8 streams", ("up", 1): "upload, 1 stream", ("up", 8): "upload, 8 streams"}
BARE, LAN, BROKER, RATHOLE = "bare TCP", "moorline, lan", "moorline, broker", "rathole"


def middle(each, of):
    good = [of(r) for r in each if "failed" not in r]
    return statistics.median(good) if good else None


def rates(part):
    return {name: {way: middle(each[way], lambda r: r["rate"]) for way in WAYS} for name, each in part["results"].items()}


def number(value, digits=2):
    return "–" if value is None else f"{value:.{digits}f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def throughput(part):
    told = rates(part)
    rows = [["MiB/s (part of bare TCP)", *(HEADS[w] for w in WAYS)]]
    for name, each in told.items():
        cells = []
        for way in WAYS:
            bare = told.get(BARE, {}).get(way)
            cells.append(number(each[way]) + (f" ({each[way] / bare:.2f})" if bare and each[way] else ""))
        rows.append([name, *cells])
    return rows


def processor(part):
    rows = [["processor seconds a GiB: NAS + device (+ broker)", *(HEADS[w] for w in WAYS)]]
    for name, each in part["results"].items():
        if not any(PEERS[name].ends):
            continue
        ends = [i for i in range(3) if PEERS[name].ends[i]]
        rows.append([name, *(" + ".join(number(middle(each[way], lambda r, i=i: r["cpu"][i])) for i in ends) for way in WAYS)])
    return rows


def memory(part):
    rows = [["VmHWM, MiB", "NAS's end", "device's end", "broker"]]
    for name, peaks in part["peaks"].items():
        if any(PEERS[name].ends):
            rows.append([name, *(number(peak / 1024) if PEERS[name].ends[end] else "" for end, peak in enumerate(peaks))])
    return rows


def long_line(part):
    rows = [["long line", "first byte of a new connection, ms", *(f"{HEADS[w]}, MiB/s" for w in WAYS)]]
    for name, each in part["results"].items():
        rows.append([name, number(each["first"] * 1000) if "first" in each else "–", *(number(each.get(way)) for way in WAYS)])
    return rows


def verdict(holds):
    return "yes" if holds else "**no**"


def goals(quickly):
    """The product's own, said as they are."""
    told, peaks = rates(quickly), quickly["peaks"]
    peers = [n for n in told if PEERS[n].encrypted and not n.startswith("moorline")]
    rows = [["goal", "figure", "reached"]]

    def best(way):
        return max(((told[n][way] or 0, n) for n in peers), default=(0, "nobody"))
    for name, part, words in ((LAN, 1, "at least as fast as the fastest encrypted peer"), (BROKER, 0.5, "at least half as fast as the fastest encrypted peer")):
        if name not in told:
            rows.append([f"{name}: {words}", "not measured", "–"])
            continue
        for way in WAYS:
            rate, who = best(way)
            ours = told[name][way] or 0
            rows.append([f"{name}, {HEADS[way]}: {words}", f"{number(ours)} to {number(rate)} MiB/s ({who}): {ours / rate if rate else 0:.2f}", verdict(ours >= rate * part)])
    if RATHOLE in peaks:
        for name in (LAN, BROKER):
            if name in peaks:
                for end, where in ((0, "NAS's end"), (1, "device's end")):
                    rows.append([f"{name}: memory of the {where} below rathole's", f"{number(peaks[name][end] / 1024)} to {number(peaks[RATHOLE][end] / 1024)} MiB",
                                 verdict(peaks[name][end] < peaks[RATHOLE][end])])
    return rows


def better(quickly, slowly):
    """Where an encrypted peer does better than moorline's LAN path by more than a twentieth."""
    found = []

    def compare(what, unit, values, is_less):
        ours = values.get(LAN)
        others = {n: v for n, v in values.items() if v and PEERS[n].encrypted and not n.startswith("moorline")}
        ahead = sorted((n for n, v in others.items() if ours and (v < ours / 1.05 if is_less else v > ours * 1.05)), key=others.get, reverse=not is_less)
        if ahead:
            found.append(f"* {what}, {LAN} {number(ours)} {unit}: " + ", ".join(f"{n} ({number(others[n])} {unit})" for n in ahead))
    for way in WAYS:
        if quickly:
            compare(HEADS[way], "MiB/s", {n: each[way] for n, each in rates(quickly).items()}, False)
            compare(f"processor, both ends, {HEADS[way]}", "s a GiB", {n: middle(each[way], lambda r: sum(r["cpu"])) for n, each in quickly["results"].items()}, True)
        if slowly:
            compare(f"long line, {HEADS[way]}", "MiB/s", {n: each.get(way) for n, each in slowly["results"].items()}, False)
    if slowly:
        compare("long line, first byte", "ms", {n: each["first"] * 1000 for n, each in slowly["results"].items() if "first" in each}, True)
    return found or ["Nowhere in this run."]


def tables(quickly, slowly):
    found = []
    if quickly:
        found += [throughput(quickly), processor(quickly), memory(quickly)]
    if slowly:
        found.append(long_line(slowly))
    if quickly:
        found.append(goals(quickly))
    return found


def aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows)


def printed(quickly, slowly):
    return "\n\n".join(map(aligned, tables(quickly, slowly))) + "\n"


def piped(rows):
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|" + "---|" * len(rows[0]), *body]


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    system = subprocess.run(["sh", "-c", ". /etc/os-release; echo $PRETTY_NAME"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}, {system}"


QUICK = """All programs of all peers run at once and wait, each peer's in a network namespace of its own with nothing in it but loopback, congestion control is {control}; one transfer of {mib} MiB at a time, the peers in turn, {rounds} rounds,
medians. The transfer program is the same for all and no part of the figures: a server that sends from memory and a client that counts (`tests/bench/remote/transfer.py`). *Bare TCP* is it without a
tunnel. Everything shares the machine's cores, so a tunnel that takes less of the processor leaves more to the transfer; stunnel has a thread and buffers for each connection, moorline's ends are one
thread each with bounded memory. *Processor* is the time of all processes of an end, in the program and in the
kernel for it. *VmHWM* is what each was resident with at most after all transfers, the processes of an end added up (what sshd's share is counted in each)."""

LONG = """The device is {delay} ms away from the NAS each way, and one in a hundred frames is lost each way (`tests/lab/farline.py`; congestion control is {control}). Each peer has a line of its
own, all at the same time. *First byte*: TCP to the local port, a request, one byte back; the median of ten, through a tunnel that is up. Transfers: what has arrived in {seconds} s, on one TCP
connection of the tunnel or eight: rathole and stunnel open one for each stream, ssh and moorline carry all in one, which one lost frame holds up for all. moorline's broker is beside the device."""


def markdown(names, missing, quickly, slowly, words):
    lines = ["# Bytes through tunnels: moorline and others", "",
             f"Generated by `scripts/bench remote --markdown docs/bench-remote.md`, on {machine()}. The load was {words.load:.1f} before it began"
             + ("." if words.contended is None else f"; in {words.contended:.0%} of the time something waited for a core, the bench itself or others: compare within a table, not with another run."), "",
             "| peer | version | settings |", "|---|---|---|"]
    lines += [f"| {n} | {missing.get(n) or PEERS[n].version()} | {PEERS[n].how} |" for n in names]
    if quickly:
        lines += ["", "## The product's goals", "", *piped(goals(quickly)), "", "## A quick line", "", QUICK.format(mib=words.mib, rounds=words.rounds, control=quickly["control"])]
        for rows in (throughput(quickly), processor(quickly), memory(quickly)):
            lines += ["", *piped(rows)]
    if slowly:
        lines += ["", "## A long and lossy line", "", LONG.format(delay=words.delay, seconds=words.seconds, control=slowly["control"]), "", *piped(long_line(slowly))]
    lines += ["", "## Where others do better", "", *better(quickly, slowly)]
    return "\n".join(lines) + "\n"
