"""What the web is made of, by programs of others through a forward: WebSockets, long polls, ranges, large uploads, connections that
are kept and connections that are half closed. scripts/lab-web is the command."""
import argparse
import hashlib
import random
import subprocess
import threading
import time
from pathlib import Path

from house import TOP, Failed, House, free_port, lighttpd, tried
from namespaces import die_with_parent

MIB, GIB = 1 << 20, 1 << 30
# Of the file that is read in parts.
SIZE = 48 * MIB
# Seconds: of silence on a WebSocket, until a long poll is answered. Longer than any limit that an open stream meets on its way, of
# which the longest is 50 s (relay::pipe); with --long also than those of a carrier without streams (600 s).
SILENCE, POLL = {False: 90, True: 620}, {False: 70, True: 610}
# Uploaded: in the long run more than 32 bits can count.
UPLOAD = {False: 192 * MIB, True: 4 * GIB + 300 * MIB + 7}


def stream(seed, size):
    """Bytes of which no two blocks are the same, quickly made."""
    block = random.Random(seed).randbytes(MIB - 8)
    for at in range(0, size, MIB):
        yield (at.to_bytes(8, "big") + block)[:size - at]


def digest_of(pieces):
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
    return hashed.hexdigest()


def file_digest(path):
    with open(path, "rb") as file:
        return digest_of(iter(lambda: file.read(MIB), b""))


def python_with(module):
    """The distribution's packages are there only for its own Python, which need not be the first."""
    for python in ("python3", "/usr/bin/python3"):
        if subprocess.run([python, "-c", f"import {module}"], stderr=subprocess.DEVNULL).returncode == 0:
            return python
    raise Failed(f"no Python has {module}")


class Curl:
    """curl(1), for one address."""

    def __init__(self, host, port, where):
        self.url, self.where = f"http://{host}:{port}", where

    def words(self, *words, to):
        return ["curl", "-sS", "--fail", "--max-time", "1500", *map(str, words), f"{self.url}/{to}"]

    def __call__(self, *words, to, data=None):
        """What it writes; `data` are pieces for its input."""
        with open(self.where / "curl.log", "ab") as log:
            run = subprocess.Popen(self.words(*words, to=to), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, preexec_fn=die_with_parent)
            try:
                for piece in data or ():
                    run.stdin.write(piece)
            except BrokenPipeError:
                pass  # Its end says why.
            out, _ = run.communicate()
        if run.returncode:
            raise Failed(f"curl {' '.join(map(str, words))} {to} ends with {run.returncode}")
        return out


def equal(what, found, expected):
    if found != expected:
        raise Failed(f"{what}: {found!r}, expected {expected!r}")


class Trial:
    """By one path."""

    def __init__(self, house, path, is_long, python):
        self.house, self.path, self.is_long, self.python = house, path, is_long, python
        self.where = house.where / f"{path}-trial"
        self.where.mkdir()
        self.at = {service: house.forward(service, path, what=f"{service}-{path}", who=f"{path}-device") for service in house.services}
        self.curl = Curl(*self.at["files"], self.where)
        self.original = house.where / "files/original"
        self.failures = []

    def say(self, words):
        print(f"ok   {self.path}: {words}", flush=True)

    def all(self):
        """Those that mostly wait run beside the others."""
        slow = [threading.Thread(target=self.one, args=[case], daemon=True) for case in (self.websockets, self.long_poll)]
        for thread in slow:
            thread.start()
        for case in (self.ranges, self.resumed, self.kept, self.half_closed, self.uploaded):
            self.one(case)
        for thread in slow:
            thread.join()

    def one(self, case):
        try:
            case()
        except (Failed, OSError, subprocess.SubprocessError) as why:
            print(f"FAIL {self.path}, {case.__name__}: {why}", flush=True)
            self.failures.append(case.__name__)

    def websockets(self):
        host, port = self.at["talk"]
        words = [self.python, Path(__file__).with_name("websocket.py"), "talk", f"ws://{host}:{port}", str(SILENCE[self.is_long])]
        run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        lines = 0
        for line in run.stdout:
            self.say(line.strip())
            lines += 1
        trouble = run.stderr.read()
        if run.wait() or lines != 2:
            raise Failed(f"the client ends with {run.returncode}: {trouble[-400:]}")

    def long_poll(self):
        seconds = POLL[self.is_long]
        began = time.monotonic()
        news = Curl(*self.at["talk"], self.where)(to=f"poll/{seconds}")
        equal("a long poll", news, f"news after {seconds} s".encode())
        took = time.monotonic() - began
        if took < seconds:
            raise Failed(f"answered after {took:.1f} s already")
        self.say(f"a request that is answered after {seconds} s is answered")

    def ranges(self):
        whole = self.original.read_bytes()
        for span, part in (("0-0", whole[:1]), ("1000000-2999999", whole[1000000:3000000]), ("-4097", whole[-4097:]), (f"{SIZE - 5}-", whole[-5:])):
            equal(f"range {span}", hashlib.sha256(self.curl("-r", span, to="original")).hexdigest(), hashlib.sha256(part).hexdigest())
        several = self.curl("-r", "10-19,5000000-5000099", to="original")
        if not (whole[10:20] in several and whole[5000000:5000100] in several and several.count(b"Content-Range") == 2):
            raise Failed("two ranges in one answer are not those")
        status = self.curl("-o", "/dev/null", "-w", "%{http_code} %header{content-range}", "-r", "5-9", to="original")
        equal("status", status.decode(), f"206 bytes 5-9/{SIZE}")
        self.say("ranges, by curl -r, are the file's")

    def resumed(self):
        """A download that is cut off three times and goes on where it was."""
        part, cuts = self.where / "part", 0
        part.unlink(missing_ok=True)
        for _ in range(3):
            words = self.curl.words("-C", "-", "--limit-rate", "6M", "-o", part, to="original")
            run = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
            before, end = part.stat().st_size if part.exists() else 0, time.monotonic() + 20
            while not (part.exists() and part.stat().st_size > before + MIB) and time.monotonic() < end:
                time.sleep(0.02)
            run.kill()
            run.wait()
            cuts += before < part.stat().st_size < SIZE
        equal("cut off", cuts, 3)
        self.curl("-C", "-", "-o", part, to="original")
        equal("a resumed download", file_digest(part), file_digest(self.original))
        self.say(f"a download of {SIZE // MIB} MiB, cut off three times and resumed by curl -C -, is the same")

    def kept(self):
        """Several requests on one connection, of which the middle one is an error."""
        urls = [f"{self.curl.url}/{name}" for name in ("small", "missing", "original", "small")]
        words = ["curl", "-sS", "-w", "%{num_connects} %{http_code} %{size_download}\n"]
        for url in urls:
            words += ["-o", "/dev/null", url]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
        answers = [line.split() for line in done.stdout.splitlines()]
        equal("connections and codes", [(a[0], a[1]) for a in answers], [("1", "200"), ("0", "404"), ("0", "200"), ("0", "200")])
        equal("sizes", [a[2] for a in answers[::2]], ["6", str(SIZE)])
        self.say(f"{len(urls)} requests on one connection")

    def half_closed(self):
        """sha256sum at the NAS answers only when it has seen the end; the answer comes on the other half."""
        host, port = self.at["sums"]
        with open(self.original, "rb") as file:
            done = subprocess.run(["socat", "-t", "60", "-", f"TCP:{host}:{port}"], stdin=file, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
        equal("the sum", done.stdout.split()[:1], [file_digest(self.original)])
        self.say("one direction is ended, and the answer comes by the other")

    def uploaded(self):
        size, name, began = UPLOAD[self.is_long], f"upload-{self.path}", time.monotonic()
        hashed = hashlib.sha256()

        def pieces():
            for piece in stream(self.path, size):
                hashed.update(piece)
                yield piece
        self.curl("-T", "-", to=name, data=pieces())
        seconds, stored = time.monotonic() - began, self.house.where / "files" / name
        equal("size", stored.stat().st_size, size)
        equal("uploaded", file_digest(stored), hashed.hexdigest())
        self.say(f"{size:,} bytes uploaded by curl -T - in {seconds:.0f} s are the same there")
        # With its length said before, and back.
        again, began = f"again-{self.path}", time.monotonic()
        self.curl("-T", stored, to=again)
        equal("uploaded with its length", file_digest(self.house.where / "files" / again), hashed.hexdigest())
        with subprocess.Popen(self.curl.words(to=again), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=die_with_parent) as run:
            equal("downloaded", digest_of(iter(lambda: run.stdout.read(MIB), b"")), hashed.hexdigest())
        equal("the last bytes", self.curl("-r", f"{size - 7}-", to=again), b"".join(stream(self.path, size))[-7:] if size < GIB else self.tail(stored, 7))
        self.say(f"the same with its length said before, and downloaded, in {time.monotonic() - began:.0f} s")
        stored.unlink()
        (self.house.where / "files" / again).unlink()

    @staticmethod
    def tail(path, length):
        with open(path, "rb") as file:
            file.seek(-length, 2)
            return file.read()


def trial(house, words):
    where, began = house.where, time.monotonic()
    for name in ("files", "uploads"):
        (where / name).mkdir()
    with open(where / "files/original", "wb") as file:
        file.writelines(stream("original", SIZE))
    (where / "files/small").write_bytes(b"small\n")
    lighttpd(house, "files", "files", "server.stream-request-body = 1\n")
    python = python_with("websockets")
    house.launch("websockets", None, python, Path(__file__).with_name("websocket.py"), "serve", house.services["talk"])
    house.launch("socat", None, "socat", "-t", "60", f"TCP-LISTEN:{house.services['sums']},bind=127.0.0.1,reuseaddr,fork", "EXEC:sha256sum")
    house.wait_port(None, "127.0.0.1", house.services["talk"])
    house.start_broker()
    house.start_agent()
    trials = []
    for path in words.path or ["lan", "broker"]:
        # A device each: one may have three carriers.
        house.pair(who=f"{path}-device")
        trials.append(Trial(house, path, words.long, python))
    print(f"ok   lighttpd, websockets, socat, Mosquitto, agent, and a paired device for each path; after {time.monotonic() - began:.1f} s", flush=True)
    threads = [threading.Thread(target=t.all) for t in trials]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failures = [f"{t.path} {name}" for t in trials for name in t.failures]
    if failures:
        raise Failed(", ".join(failures))
    print(f"PASS in {time.monotonic() - began:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="lab-web")
    parser.add_argument("--path", action="append", choices=["lan", "broker"])
    parser.add_argument("--long", action="store_true")
    words = parser.parse_args()
    house = House(TOP / "target/lab-web", {"files": free_port(), "talk": free_port(), "sums": free_port()})
    tried(house, lambda: trial(house, words), "web")


if __name__ == "__main__":
    main()
