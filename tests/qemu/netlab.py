"""The network around a guest: a namespace of its own with a tap device, dnsmasq for DHCP and for DNS, Mosquitto with TLS. Each
can be late or go away. Nothing leaves the namespace."""
import os
import subprocess
import sys

from namespaces import DNSMASQ, TOP, Programs, dated

HOST, NAME, PORT = "10.77.0.1", "broker.lab", 8883


class Net(Programs):
    def __init__(self, name, where):
        super().__init__(where)
        self.name = name
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
        subprocess.run([*dated("2024-01-01 00:00:00"), TOP / "scripts/broker", self.where / "broker", str(PORT)],
                       check=True, env=dict(os.environ, MOORLINE_BROKER=f"{NAME}:{HOST}"))

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    def inside(self, *words):
        return self.within(self.name, *words)

    def start(self, what, *words, environment=None):
        self.launch(what, self.name, *words, environment=environment)

    def dhcp(self):
        self.start("dhcp", "dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=tap0", "--bind-interfaces", "--no-ping",
                   "--dhcp-range=10.77.0.50,10.77.0.60,1h", f"--dhcp-option=3,{HOST}", f"--dhcp-option=6,{HOST}", "--dhcp-authoritative",
                   f"--dhcp-leasefile={self.where}/leases", "--user=root", "--pid-file=")

    def dns(self):
        self.start("dns", *DNSMASQ, f"--host-record={NAME},{HOST}", "--local=/lab/", f"--listen-address={HOST}")

    def broker(self):
        self.start("broker", TOP / "scripts/broker", self.where / "broker", PORT, "--run",
                   environment={"MOORLINE_BROKER": f"{NAME}:{HOST}"})
        self.wait_port(self.name, HOST, PORT)

    def all(self):
        self.dhcp()
        self.dns()
        self.broker()

    def close(self):
        self.stop_all()
        subprocess.run(["ip", "netns", "del", self.name], check=False)
