"""Programs in network namespaces: what the QEMU bench, the fault lab and scripts/bench have in common."""
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
# A name server that knows only what it is told.
DNSMASQ = ("dnsmasq", "-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root", "--pid-file=")


def dated(date):
    """Words before a command that let it believe in another date. Not the faketime wrapper, which trips over another one's semaphores."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return ["env", f"LD_PRELOAD={library}", f"FAKETIME=@{date}"]


def die_with_parent():
    """Run in a new process: it ends when the one that started it does, however that ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def tree(pid):
    """A process and all that came from it, as far as the ones between are there; parents first."""
    found = [pid]
    for parent in found:
        for listed in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, listed.read_text().split())
            except OSError:
                pass  # It ended meanwhile.
    return found


class Call(http.client.HTTPConnection):
    """HTTP over the agent's socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Programs:
    """Those that a test has started, by name; their logs are in `where`."""

    def __init__(self, where):
        self.where, self.running = Path(where), {}

    @staticmethod
    def within(host, *words):
        """A command line that runs in the namespace; `ip` becomes the program, so its process is the program's."""
        return ["ip", "netns", "exec", host, *map(str, words)]

    def launch(self, what, host, *words, environment=None):
        log = open(self.where / f"{what}.log", "ab")
        self.running[what] = subprocess.Popen(self.within(host, *words), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              env=dict(os.environ, **(environment or {})), preexec_fn=die_with_parent)

    def stop(self, what):
        process = self.running.get(what)
        if process:
            self.signal(what, signal.SIGKILL)
            del self.running[what]
            process.wait()

    def signal(self, what, number):
        """To the program and to what it has started."""
        process = self.running[what]
        for pid in tree(process.pid) if process.poll() is None else ():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def stop_all(self):
        for what in list(self.running):
            self.stop(what)

    def wait_port(self, host, address, port):
        end = time.monotonic() + 10
        while subprocess.run(self.within(host, "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"), stderr=subprocess.DEVNULL).returncode:
            if time.monotonic() > end:
                raise TimeoutError(f"nothing listens at {address}:{port}")
            time.sleep(0.05)
