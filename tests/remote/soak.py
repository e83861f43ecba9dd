"""A day of streams in minutes: opened and closed all the time in every way there is, over carriers that come and go; what the agent
holds afterwards is what it held before. scripts/soak-remote is the command."""
import argparse
import asyncio
import collections
import hashlib
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

from house import TOP, Failed, House, descriptors, free_port, status

# What is taken for normal use: one stream every two seconds, all day.
EVERY_S, DAY_S = 2, 24 * 3600
DAY = DAY_S // EVERY_S
# How much more the agent may be resident with in the last tenth of the time than after the first fifth.
GROWTH_KIB = 768
# Of the streams that are meant to come through, those that may break because their carrier went.
BROKEN = 0.02
WORKERS, FORWARDS = 5, 2
PIECES = random.Random(1).randbytes(1 << 20)


async def service(reader, writer):
    """`length`, bytes, then the end of that direction or not: the bytes' hash and as many bytes as were asked for."""
    try:
        head = await reader.readexactly(9)
        kind, upward, downward = struct.unpack(">cII", head)
        if kind == b"h":
            data = await reader.read(-1)
        else:
            data = await reader.readexactly(upward)
        writer.write(hashlib.sha256(data).digest())
        for at in range(0, downward, 1 << 16):
            writer.write(PIECES[at:min(downward, at + (1 << 16))])
            await writer.drain()
        if kind == b"l":
            # Long: a word now and then, until the other end has had enough.
            while await reader.read(16):
                writer.write(b"still here")
                await writer.drain()
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass  # Broken off, or the soak is over.
    finally:
        writer.close()


class Soak:
    def __init__(self, house, path, seconds):
        self.house, self.path, self.seconds = house, path, seconds
        self.chance, self.done, self.broken, self.carriers, self.why = random.Random(7), collections.Counter(), 0, 0, collections.Counter()
        self.rate = 1.15 * DAY / 300
        self.until = time.monotonic() + seconds

    async def stream(self, to, kind):
        upward, downward = self.chance.choice([(200, 1_000), (200, 30_000), (60_000, 100), (300_000, 100_000), (0, 600_000)][:3 if kind in "lh" else 5])
        data = PIECES[:upward]
        reader, writer = await asyncio.open_connection(*to)
        try:
            writer.write(struct.pack(">cII", kind.encode(), upward, downward) + data)
            if kind == "a":
                # Aborted, with bytes under way in both directions: a reset, not an end.
                await asyncio.sleep(self.chance.random() * 0.02)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            if kind == "h":
                writer.write_eof()
            told = await reader.readexactly(32 + downward)
            if told[:32] != hashlib.sha256(data).digest() or told[32:] != PIECES[:downward]:
                raise Failed("WRONG DATA on a stream")
            if kind == "l":
                for _ in range(self.chance.randrange(2, 12)):
                    writer.write(b"are you there?")
                    await reader.readexactly(10)
                    await asyncio.sleep(0.5)
        finally:
            writer.transport.abort() if kind == "a" else writer.close()

    async def worker(self, to, kinds, pace):
        while time.monotonic() < self.until:
            began, kind = time.monotonic(), self.chance.choice(kinds)
            try:
                await asyncio.wait_for(self.stream(to, kind), 30)
                self.done[kind] += 1
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as why:
                self.broken += 1
                self.why[type(why).__name__] += 1
                # As programs do: not at once again.
                await asyncio.sleep(0.2)
            await asyncio.sleep(max(0, began + pace - time.monotonic()))

    async def visitors(self):
        """Carriers that come and go: a forward for some streams, ended this way or that; a question."""
        loop = asyncio.get_running_loop()
        while time.monotonic() < self.until - 5:
            number = self.carriers
            self.carriers += 1
            if number % 3 == 2:
                words = self.house.client("services", "--json", *self.house.way(self.path))
                await loop.run_in_executor(None, lambda w=words: subprocess.run(w, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=40))
            else:
                to = await loop.run_in_executor(None, lambda: self.house.forward("data", self.path, what="visitor"))
                await asyncio.gather(*(self.attempt(to, kind) for kind in "sshal"), return_exceptions=True)
                self.house.signal("visitor", signal.SIGTERM if number % 3 else signal.SIGKILL)
                await loop.run_in_executor(None, self.house.stop, "visitor")
            await asyncio.sleep(1)

    async def attempt(self, to, kind):
        try:
            await asyncio.wait_for(self.stream(to, kind), 3)
            self.done[kind] += 1
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            pass  # A visitor's goes with its carrier.

    async def look(self, samples):
        pid, told = self.house.pid("agent"), time.monotonic()
        while time.monotonic() < self.until:
            samples.append((time.monotonic(), status(pid, "VmRSS")[0], descriptors(pid)))
            if time.monotonic() > told + 30:
                told = time.monotonic()
                print(f"     {sum(self.done.values())} streams, {self.carriers} visiting carriers, {self.broken} broken; agent {samples[-1][1]} KiB, {samples[-1][2]} descriptors", flush=True)
            await asyncio.sleep(0.25)

    async def run(self, ways):
        samples, pace = [], len(ways) * WORKERS / self.rate
        work = [self.worker(to, "sssssssah", pace) for to in ways for _ in range(WORKERS)]
        work += [self.worker(to, "l", 0) for to in ways]
        await asyncio.gather(*work, self.visitors(), self.look(samples))
        return samples


async def main_of(house, words):
    server = await asyncio.start_server(service, "127.0.0.1", house.services["data"])
    async with server:
        loop = asyncio.get_running_loop()
        for step in (house.start_broker, house.start_agent, house.pair):
            await loop.run_in_executor(None, step)
        agent = house.pid("agent")
        before = descriptors(agent)
        ways = [await loop.run_in_executor(None, lambda n=n: house.forward("data", words.path, what=f"client-{n}")) for n in range(FORWARDS)]
        soak, began = Soak(house, words.path, words.seconds), time.monotonic()
        samples = await soak.run(ways)
        took = time.monotonic() - began
        for number in range(FORWARDS):
            house.stop(f"client-{number}")
        end = time.monotonic() + 20
        # The broker's way keeps a carrier whose device has vanished for longer than TCP does.
        while descriptors(agent) > before and time.monotonic() < end:
            await asyncio.sleep(0.2)
        after = descriptors(agent)
    start = samples[0][0]
    early = statistics.median(kib for at, kib, _ in samples if 0.2 <= (at - start) / words.seconds < 0.3)
    late = statistics.median(kib for at, kib, _ in samples if (at - start) / words.seconds >= 0.9)
    streams, peak = sum(soak.done.values()), status(agent, "VmHWM")[0]
    needed = min(DAY, int(DAY / 300 * words.seconds))
    faults = []
    if streams < needed:
        faults.append(f"{streams} streams of {needed} that were wanted")
    if late - early > GROWTH_KIB:
        faults.append(f"the agent grew by {late - early:.0f} KiB, more than {GROWTH_KIB}")
    if after > before:
        faults.append(f"{after} descriptors, {before} before")
    if soak.broken > BROKEN * streams:
        faults.append(f"{soak.broken} streams broke: {dict(soak.why)}")
    kinds = ", ".join(f"{soak.done[kind]} {name}" for kind, name in (("s", "short"), ("a", "aborted"), ("h", "half-closed"), ("l", "long")))
    print(f"{'FAIL' if faults else 'PASS'} {words.path}: {streams} streams ({kinds}) and {soak.carriers + FORWARDS} carriers in {took:.0f} s, as many as in {streams * EVERY_S / 3600:.1f} h with one every {EVERY_S} s; "
          f"{soak.broken} broken with their carriers; agent VmRSS {early:.0f} KiB after warm-up, {late:.0f} KiB at the end (bound: +{GROWTH_KIB}), VmHWM {peak} KiB; "
          f"descriptors {before} before, {after} after" + "".join(f"; {fault}" for fault in faults), flush=True)
    return not faults


def main():
    parser = argparse.ArgumentParser(prog="soak-remote")
    parser.add_argument("--path", default="lan", choices=["lan", "broker", "direct"])
    parser.add_argument("--seconds", type=int, default=300)
    words = parser.parse_args()
    house, good = House(TOP / f"target/soak-remote-{words.path}", {"data": free_port()}), False
    try:
        good = asyncio.run(main_of(house, words))
    except (Failed, OSError, subprocess.SubprocessError) as why:
        print(f"FAIL {words.path}: {why}", flush=True)
    finally:
        house.close(keep=not good)
    if not good:
        print(f"the logs are in {house.where.relative_to(TOP)}", flush=True)
    sys.exit(not good)


if __name__ == "__main__":
    main()
