"""Runs the transfers; scripts/bench remote is the command."""
import argparse
import concurrent.futures
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "remote"), str(HERE.parents[1])]

from house import TOP, Failed, House, peak_kib, processor_seconds  # noqa: E402
from namespaces import Programs  # noqa: E402
from others import installed, waited  # noqa: E402
from peers import PEERS, SERVICE  # noqa: E402
from report import WAYS, markdown, printed  # noqa: E402

MIB = 1 << 20
LOGS = TOP / "target/bench/remote"
# The long line: one way, and of the frames each way.
DELAY_MS, LOSS = 25, 1
NAS_AT, DEVICE_AT = "10.77.0.1", "10.77.0.2"
TIMES = 10


def ip(*words):
    done = subprocess.run(["ip", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failed(f"ip {' '.join(map(str, words))}: {done.stdout.strip()}")


def congestion(host):
    """CUBIC, which Linux has by itself, or Reno, which is always allowed: which of the two it is now, whatever this machine is set to."""
    for name in ("cubic", "reno"):
        if not subprocess.run(Programs.within(host, "sysctl", "-qw", f"net.ipv4.tcp_congestion_control={name}"), stderr=subprocess.DEVNULL).returncode:
            return name
    raise Failed("neither cubic nor reno")


class Spaces:
    """Network namespaces of this run, and the programs that join them."""

    def __init__(self):
        self.prefix, self.made, self.control = f"mbr{os.getpid() % 100000}", [], None

    def space(self, name):
        host = self.prefix + name
        ip("netns", "add", host)
        self.made.append(host)
        ip("-n", host, "link", "set", "lo", "up")
        # BBR, where a machine is set to it, paces also what stays on the machine: then its timers are what is measured.
        self.control = congestion(host)
        return host

    def line(self, number):
        """Two hosts, far from each other; a third one between them, whose program is told."""
        nas, far, device = (self.space(f"{what}{number}") for what in ("n", "f", "d"))
        for host, end, address in ((nas, "one", NAS_AT), (device, "other", DEVICE_AT)):
            ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", end, "netns", far)
            ip("-n", host, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", far, "link", "set", end, "up")
            # The agent looks whether there is a way out at all.
            ip("-n", host, "route", "add", "default", "dev", "eth0")
            # What passes through a program needs its checksums whole, and packets no larger than the line takes.
            subprocess.run(Programs.within(host, "ethtool", "-K", "eth0", "tx", "off", "gso", "off", "tso", "off"), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return nas, far, device

    def close(self):
        for host in self.made:
            subprocess.run(["ip", "netns", "del", host], check=False)


class Stand:
    """A peer that runs, and its service."""

    def __init__(self, peer, house):
        self.peer, self.house, self.cost = peer, house, {}
        house.launch("service", house.nas, "python3", HERE / "transfer.py", "serve", "0.0.0.0", SERVICE)
        house.wait_port(house.nas, house.at, SERVICE)
        self.to = peer.start(house)

    def transfer(self, *words, patience=90):
        command = self.house.within(self.house.device, "python3", HERE / "transfer.py", words[0], *self.to, *words[1:])
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=patience)
        if done.returncode:
            raise Failed((done.stderr.strip().splitlines() or ["no reason given"])[-1])
        return json.loads(done.stdout)

    def pids(self, end):
        return [self.house.pid(name) for name in self.peer.ends[end]]

    def processor(self):
        return [sum(map(processor_seconds, self.pids(end))) for end in range(3)]

    def peaks(self):
        return [sum(map(peak_kib, self.pids(end))) for end in range(3)]

    def measure(self, way, streams, size, seconds):
        """Rate (MiB/s) and the processor's seconds for a GiB at each end."""
        before = self.processor()
        told = self.transfer("run", way, streams, size, seconds, patience=seconds + 60)
        # What is under way still arrives.
        time.sleep(0.1)
        spent = [now - then for now, then in zip(self.processor(), before)]
        if not told["bytes"]:
            raise Failed("nothing came")
        return {"rate": told["bytes"] / MIB / told["seconds"], "cpu": [s * 1024 * MIB / told["bytes"] for s in spent], "whole": told["whole"]}


def standing(peers, place):
    """Every peer started; those that cannot be, with the reason."""
    stands, failed = {}, {}
    for name in peers:
        try:
            stands[name] = Stand(PEERS[name], place(name))
        except Exception as caught:  # whatever it is, the others go on
            (LOGS / f"{name.replace(' ', '-')}.failure").write_text(traceback.format_exc())
            failed[name] = f"{type(caught).__name__}: {caught}"
            print(f"{name} does not run: {failed[name]}", flush=True)
    return stands, failed


def quick(names, words):
    """All on one host, one transfer at a time, the peers in turn."""
    spaces, houses, results = Spaces(), [], {}
    try:
        def place(name):
            host = spaces.space(f"h{len(houses)}")
            houses.append(House(LOGS / f"quick-{len(houses)}", {"data": SERVICE}, nas=host, device=host))
            return houses[-1]
        stands, failed = standing(names, place)
        results = {name: {way: [] for way in WAYS} for name in stands}
        for stand in stands.values():
            stand.transfer("run", "down", 1, 4 * MIB, 20)  # warm
        for turn in range(words.rounds):
            for way in WAYS:
                direction, streams = way
                for name, stand in stands.items():
                    try:
                        result = stand.measure(direction, streams, words.mib * MIB, 60)
                    except Exception as caught:  # as above
                        result = {"failed": f"{type(caught).__name__}: {caught}"}
                    results[name][way].append(result)
                    print(f"round {turn + 1}  {direction:4} {streams}  {name:18} " + (result.get("failed") or f"{result['rate']:7.0f} MiB/s  {sum(result['cpu']):5.2f} s a GiB"), flush=True)
        peaks = {name: stand.peaks() for name, stand in stands.items()}
        return {"results": results, "peaks": peaks, "failed": failed, "control": spaces.control}
    finally:
        for house in houses:
            house.stop_all()
        spaces.close()


def far(names, words):
    """Each on a line of its own, all at the same time: they mostly wait."""
    spaces, houses = Spaces(), []
    try:
        def place(name):
            number = names.index(name)
            nas, line, device = spaces.line(number)
            house = House(LOGS / f"long-{number}", {"data": SERVICE}, nas=nas, device=device, at=NAS_AT, broker=DEVICE_AT)
            house.launch("farline", line, "python3", TOP / "tests/lab/farline.py", "one", "other", DELAY_MS, LOSS)
            houses.append(house)
            return house
        stands, failed = standing(names, place)
        results = {name: {} for name in stands}

        def one(name):
            stand = stands[name]
            try:
                results[name]["first"] = statistics.median(stand.transfer("first", TIMES))
                for direction, streams in WAYS:
                    results[name][(direction, streams)] = stand.measure(direction, streams, words.seconds * 20 * MIB, words.seconds)["rate"]
                    print(f"long line  {direction:4} {streams}  {name:18} {results[name][(direction, streams)]:6.2f} MiB/s", flush=True)
                    # What a transfer whose time was over has left under way.
                    time.sleep(5)
            except Exception as caught:  # as above
                results[name]["failed"] = f"{type(caught).__name__}: {caught}"
                print(f"long line  {name:18} {results[name]['failed']}", flush=True)
        with concurrent.futures.ThreadPoolExecutor(len(stands) or 1) as pool:
            list(pool.map(one, stands))
        return {"results": results, "failed": failed, "control": spaces.control}
    finally:
        for house in houses:
            house.stop_all()
        spaces.close()


def main():
    parser = argparse.ArgumentParser(prog="bench remote")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--peers", help="names with semicolons between them")
    parser.add_argument("--line", choices=["quick", "long", "both"], default="both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=512, help="of a transfer on the quick line")
    parser.add_argument("--seconds", type=int, default=15, help="of a transfer on the long line")
    parser.add_argument("--markdown")
    words = parser.parse_args()
    if words.list:
        for name, peer in PEERS.items():
            print(f"{name:18}{peer.how}")
        return
    names = words.peers.split(";") if words.peers else list(PEERS)
    unknown = [n for n in names if n not in PEERS]
    if unknown:
        sys.exit(f"bench remote: no peer {' '.join(unknown)}; --list has them")
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    here, missing = installed(names, PEERS)
    words.delay, words.loss, words.load = DELAY_MS, LOSS, os.getloadavg()[0]
    pressure, began = waited(), time.monotonic()
    quickly = quick(here, words) if words.line != "long" else None
    slowly = far(here, words) if words.line != "quick" else None
    words.contended = None if pressure is None else (waited() - pressure) / (time.monotonic() - began)
    print()
    print(printed(quickly, slowly))
    if words.markdown:
        Path(words.markdown).write_text(markdown(names, missing, quickly, slowly, words))
    failed = any(part and (part["failed"] or any("failed" in str(r) for r in part["results"].values())) for part in (quickly, slowly))
    print(f"{time.monotonic() - began:.0f} s" + ("; some could not be measured, their logs are in target/bench/remote" if failed else ""))
    sys.exit(failed)


if __name__ == "__main__":
    main()
