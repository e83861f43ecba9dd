"""Files onto a WebDAV server of the NAS and back, through a forward, while the broker is restarted; scripts/lab-webdav is the command."""
import argparse
import hashlib
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from house import TOP, Failed, House, descriptors, free_port, lighttpd, status, tried

MIB = 1 << 20
FILES = 16
# Of one file, and how long the server may take to have it after the client said so.
TRIES, ARRIVES = 6, 20
SEED = 77
# No locks: lighttpd's want a database, and there is one client. Everything goes to the server at once.
DAVFS = "ask_auth 0\nuse_locks 0\nuse_expect100 0\ndelay_upload 0\ncache_size 1\ncache_dir {cache}\nread_timeout 20\nretry 2\nmax_retry 2\n"


def content(number, size):
    return random.Random(SEED * 1000 + number).randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Davfs:
    """A mount, by davfs2."""
    name = "davfs2, mounted"

    def __init__(self, where, url):
        self.where, self.url, self.at, self.is_up, self.cache = where, url, where / "mount", False, None
        self.at.mkdir()

    def up(self):
        """With nothing in its cache, which its own user must get into."""
        self.cache = Path(tempfile.mkdtemp(prefix="lab-webdav-"))
        self.cache.chmod(0o777)
        (self.where / "davfs2.conf").write_text(DAVFS.format(cache=self.cache))
        done = subprocess.run(["mount", "-t", "davfs", "-o", f"conf={self.where}/davfs2.conf", self.url, self.at], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.is_up = os.path.ismount(self.at)
        if not self.is_up:
            self.down()
            raise Failed(f"mount: {done.stdout.strip()}")

    def down(self):
        if self.is_up:
            # Its helper waits until davfs has ended.
            subprocess.run(["umount", self.at], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
            if os.path.ismount(self.at):
                subprocess.run(["umount", "-l", self.at], check=False)
            self.is_up = False
        if self.cache:
            shutil.rmtree(self.cache, ignore_errors=True)

    def write(self, name, data):
        with open(self.at / name, "wb") as file:
            for at in range(0, len(data), MIB):
                file.write(data[at:at + MIB])

    def read(self, name):
        return (self.at / name).read_bytes()


class Rclone:
    """Without a mount, by rclone."""
    name = "rclone, without a mount (no FUSE here)"

    def __init__(self, where, url):
        self.where, self.words = where, ["rclone", "--config", "/dev/null", "--webdav-url", url, "--retries", "1", "--low-level-retries", "1", "--timeout", "20s"]

    def up(self):
        pass

    def down(self):
        pass

    def run(self, *words):
        done = subprocess.run([*self.words, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            raise OSError(done.stderr.decode().strip().splitlines()[-1])
        return done.stdout

    def write(self, name, data):
        (self.where / "piece").write_bytes(data)
        self.run("copyto", "--ignore-times", str(self.where / "piece"), f":webdav:{name}")

    def read(self, name):
        return self.run("cat", f":webdav:{name}")


def client_of(house, url, wanted):
    if wanted != "rclone" and Path("/dev/fuse").exists() and os.geteuid() == 0:
        client = Davfs(house.where, url)
        try:
            client.up()
            client.down()
            return client
        except (OSError, Failed) as why:
            if wanted == "davfs":
                raise
            print(f"no mount: {why}", flush=True)
    return Rclone(house.where, url)


class Watch(threading.Thread):
    """The most that each program is resident with."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.most, self.over = pids, dict.fromkeys(pids, 0), threading.Event()

    def run(self):
        while not self.over.wait(0.2):
            for what, pid in self.pids.items():
                self.most[what] = max(self.most[what], status(pid, "VmRSS")[0])


class Trial:
    def __init__(self, house, client, files, size):
        self.house, self.client, self.files, self.size, self.repeats = house, client, files, size, 0
        self.sums = [digest(content(i, size)) for i in range(files)]
        self.stored = house.where / "dav"

    def restart_broker(self):
        """While a piece is under way; it is away for a second."""
        time.sleep(0.3)
        self.house.restart_broker()

    def each(self, what, one):
        """One after the other, and in the middle of the middle one the broker is restarted."""
        began, restart = time.monotonic(), threading.Thread(target=self.restart_broker)
        for number in range(self.files):
            if number == self.files // 2:
                restart.start()
            for attempt in range(TRIES):
                try:
                    one(number, f"piece-{number:02}")
                    break
                except OSError as why:
                    self.repeats += 1
                    print(f"     {what} piece {number} breaks and is repeated: {why}", flush=True)
                    time.sleep(1 + attempt)
            else:
                raise Failed(f"{what} piece {number}: {TRIES} times in vain")
            if (number + 1) % max(1, self.files // 4) == 0:
                print(f"     {what} {(number + 1) * self.size // MIB} of {self.files * self.size // MIB} MiB, {time.monotonic() - began:.1f} s", flush=True)
        restart.join()
        seconds = time.monotonic() - began
        print(f"ok   {what} {self.files * self.size // MIB} MiB in {seconds:.1f} s, the broker restarted meanwhile", flush=True)

    def write(self, number, name):
        self.client.write(name, content(number, self.size))
        end = time.monotonic() + ARRIVES
        while not ((self.stored / name).exists() and (self.stored / name).stat().st_size == self.size):
            if time.monotonic() > end:
                raise OSError("the server does not have it")
            time.sleep(0.05)
        if digest((self.stored / name).read_bytes()) != self.sums[number]:
            raise Failed(f"WRONG DATA: piece {number} on the server")

    def read(self, number, name):
        data = self.client.read(name)
        if len(data) != self.size:
            raise OSError(f"{len(data)} of {self.size} bytes")
        if digest(data) != self.sums[number]:
            raise Failed(f"WRONG DATA: piece {number} as it was read")


def trial(house, words):
    where = house.where
    for name in ("dav", "uploads"):
        (where / name).mkdir()
    lighttpd(house, "dav", "dav")
    house.start_broker()
    house.start_agent()
    house.pair()
    host, port = house.forward("dav", words.path)
    url = f"http://{host}:{port}/"
    print(f"ok   lighttpd, Mosquitto, agent and paired device; forward by {words.path}", flush=True)
    files = min(FILES, words.mib)
    client = client_of(house, url, words.client)
    print(f"ok   WebDAV client: {client.name}", flush=True)
    pids = {"agent": house.pid("agent"), "client": house.pid("client")}
    before, watch, began = {w: descriptors(p) for w, p in pids.items()}, Watch(pids), time.monotonic()
    watch.start()
    try:
        run = Trial(house, client, files, words.mib * MIB // files)
        client.up()
        run.each("written", run.write)
        client.down()
        client.up()
        run.each("read", run.read)
    finally:
        client.down()
        watch.over.set()
    seconds = time.monotonic() - began
    house.wait("as many descriptors as before", lambda: all(descriptors(p) <= before[w] for w, p in pids.items()), patience=15)
    print("ok   no more descriptors than before: " + ", ".join(f"{w} {descriptors(p)} ({before[w]})" for w, p in pids.items()), flush=True)
    memory = "; ".join(f"{w} VmRSS at most {watch.most[w]} KiB, VmHWM {status(p, 'VmHWM')[0]} KiB" for w, p in pids.items())
    print(f"PASS {words.path}: {files * run.size // MIB} MiB written and read the same in {seconds:.1f} s, {run.repeats} repeats; {memory}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="lab-webdav")
    parser.add_argument("--path", default="lan", choices=["lan", "broker", "direct"])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--client", choices=["davfs", "rclone"])
    words = parser.parse_args()
    house = House(TOP / f"target/lab-webdav-{words.path}", {"dav": free_port()})
    tried(house, lambda: trial(house, words), words.path)


if __name__ == "__main__":
    main()
