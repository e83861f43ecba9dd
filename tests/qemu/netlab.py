"""The network around a guest: a namespace of its own with a tap device, dnsmasq for DHCP and for DNS, Mosquitto with TLS. Each
can be late or go away. Nothing leaves the namespace."""
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
HOST, NAME, PORT = "10.77.0.1", "broker.lab", 8883


def die_with_parent():
    """Run in a new process: it ends when the one that started it does, however that ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Net:
    def __init__(self, name, where):
        self.name, self.where, self.running = name, Path(where), {}
        self.ip("netns", "add", name)
        self.ip("-n", name, *"link set lo up".split())
        made = os.environ.get("MOORLINE_NO_TUN") or subprocess.run(
            ["ip", "-n", name, *"tuntap add dev tap0 mode tap".split()], stderr=subprocess.DEVNULL).returncode
        self.netdev = "tap,ifname=tap0,script=no,downscript=no"
        if made:
            # No /dev/net/tun here: a veth pair, and a program that carries its frames.
            self.netdev = "socket,udp=127.0.0.1:7701,localaddr=127.0.0.1:7702"
            self.ip("-n", name, *"link add tap0 type veth peer name qemu0".split())
            self.ip("-n", name, *"link set qemu0 up".split())
        for words in (f"addr add {HOST}/24 dev tap0", "link set tap0 up"):
            self.ip("-n", name, *words.split())
        if made:
            self.start("relay", sys.executable, TOP / "tests/qemu/relay.py", "qemu0", 7701, 7702)
        # Older than any build, so that a clock that stands at the build date finds it valid; good beyond 2038.
        subprocess.run(["faketime", "2024-01-01 00:00:00", TOP / "scripts/broker", self.where / "broker", str(PORT)],
                       check=True, env=dict(os.environ, MOORLINE_BROKER=f"{NAME}:{HOST}"))

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    def inside(self, *words):
        """A command line that runs in the namespace; `ip` becomes the program, so its process is the program's."""
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def start(self, what, *words, environment=None):
        log = open(self.where / f"{what}.log", "ab")
        self.running[what] = subprocess.Popen(self.inside(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              env=environment or dict(os.environ), preexec_fn=die_with_parent)

    def stop(self, what):
        process = self.running.pop(what, None)
        if process:
            process.kill()
            process.wait()

    def dhcp(self):
        self.start("dhcp", "dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=tap0", "--bind-interfaces", "--no-ping",
                   "--dhcp-range=10.77.0.50,10.77.0.60,1h", f"--dhcp-option=3,{HOST}", f"--dhcp-option=6,{HOST}", "--dhcp-authoritative",
                   f"--dhcp-leasefile={self.where}/leases", "--user=root", "--pid-file=")

    def dns(self):
        self.start("dns", "dnsmasq", "-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", f"--host-record={NAME},{HOST}", "--local=/lab/",
                   f"--listen-address={HOST}", "--bind-interfaces", "--user=root", "--pid-file=")

    def broker(self):
        self.start("broker", TOP / "scripts/broker", self.where / "broker", PORT, "--run",
                   environment=dict(os.environ, MOORLINE_BROKER=f"{NAME}:{HOST}"))
        end = time.monotonic() + 10
        while subprocess.run(self.inside("bash", "-c", f"exec 3<>/dev/tcp/{HOST}/{PORT}"), stderr=subprocess.DEVNULL).returncode:
            if time.monotonic() > end:
                raise TimeoutError("the broker does not start")
            time.sleep(0.05)

    def all(self):
        self.dhcp()
        self.dns()
        self.broker()

    def close(self):
        for what in list(self.running):
            self.stop(what)
        subprocess.run(["ip", "netns", "del", self.name], check=False)
