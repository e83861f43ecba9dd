"""One case's hosts: a NAS behind a router with NAT, and an internet with name servers and a broker. All of it in network
namespaces of its own; everything ends with the case. scripts/bench session puts other programs on the same hosts."""
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from namespaces import DNSMASQ, TOP, Call, Programs, dated

BROKER, BROKER6, NAME, PORT = "198.51.100.10", "2001:db8:77:2::10", "broker.lab", 8883
DNS1, DNS2, PORTAL = "198.51.100.53", "198.51.100.54", "198.51.100.80"
NAS, LAN = "192.168.77.10", "192.168.77.1"
INTERNET = [f"{BROKER}/24", f"{DNS1}/24", f"{DNS2}/24", f"{PORTAL}/24", f"{BROKER6}/64"]
OUTSIDE = ["198.51.100.1/24", "2001:db8:77:2::1/64"]
PATIENCE = 60
OTHER_NAS = "192.168.77.20"
# The session's times, short enough for a lab.
PACE = "keepalive_s = 10\nreconnect_spread_s = 2\nbackoff_max_s = 8"
# Before any build of the agent.
OLD = "2024-01-01 00:00:00"
BINARY = os.environ.get("MOORLINE_LAB_BINARY", TOP / "target/release/moorline")
CLIENT = os.environ.get("MOORLINE_LAB_CLIENT", TOP / "target/release/moorline-client")
CONFIG = """[nas]
name = "Lab NAS"
[cloud]
broker = "{url}"
ca_file = "{dir}/broker/ca.pem"
user = "nas"
password_file = "{dir}/broker/nas.password"
{pace}
[store]
dir = "{dir}/store"
[control]
socket = "{dir}/control.sock"
[clock]
{clock}
[log]
level = "debug"
"""


class Failed(Exception):
    pass


def run(*words, check=True):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise Failed(f"{' '.join(map(str, words))}: {done.stdout.strip()}")
    return done.stdout


class World(Programs):
    def __init__(self, case, number, where=TOP / "target/fault-lab"):
        super().__init__(where / case)
        shutil.rmtree(self.where, ignore_errors=True)
        self.where.mkdir(parents=True)
        prefix = f"mfl{os.getpid() % 100000}n{number}"
        self.prefix, self.spaces = prefix, []
        self.nas, self.router, self.net = (self.space(host) for host in ("nas", "rtr", "net"))
        # A connection that stays open, for cases in which no new one can be had.
        self.agent, self.kept = None, None
        self.url, self.clock, self.environment = f"mqtts://{NAME}:{PORT}", 'trust = "system"', {}
        self.more, self.remote, self.pace = "", "", PACE
        # Where the broker listens.
        self.address = BROKER
        self.etc = Path("/etc/netns") / self.nas
        self.hosts()

    # ---- hosts ----

    def ip(self, host, words):
        run("ip", "-n", host, *words.split())

    def space(self, name):
        """A host: a network namespace of its own."""
        host = self.prefix + name
        self.spaces.append(host)
        run("ip", "netns", "add", host)
        self.ip(host, "link set lo up")
        # Addresses are there at once, without looking for others that have them.
        run(*self.within(host, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"))
        return host

    def cable(self, *ends):
        """Joins two hosts; an end is a host, the name of its interface and its addresses."""
        (one, device, _), (other, peer, _) = ends
        self.ip(one, f"link add {device} type veth peer name {peer} netns {other}")
        for host, name, addresses in ends:
            for address in addresses:
                self.ip(host, f"addr add {address} dev {name}" + (" nodad" if ":" in address else ""))
            self.ip(host, f"link set dev {name} up")

    def forwards(self, host):
        run(*self.within(host, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"))

    def hosts(self):
        self.cable((self.nas, "eth0", [f"{NAS}/24", "2001:db8:77:1::10/64"]), (self.router, "lan", [f"{LAN}/24", "2001:db8:77:1::1/64"]))
        self.cable((self.net, "eth0", INTERNET), (self.router, "wan", OUTSIDE))
        self.forwards(self.router)
        self.routes()
        self.ip(self.net, "-6 route add default via 2001:db8:77:2::1")
        # `faults` is where cases put their rules; `nat` is what every router at home does.
        self.nft("add table ip nat", "add chain ip nat post { type nat hook postrouting priority 100; }", "add rule ip nat post oifname wan masquerade",
                 "add table ip faults", "add chain ip faults forward { type filter hook forward priority 0; }",
                 "add table ip6 faults", "add chain ip6 faults forward { type filter hook forward priority 0; }",
                 "add chain ip nat pre { type nat hook prerouting priority -100; }")
        self.etc.mkdir(parents=True)
        self.resolv(DNS1)

    def far_away(self, delay_ms):
        """Every packet between router and internet takes so long, each way. (This kernel need not have netem.)"""
        self.ip(self.net, "link del eth0")
        line = self.space("far")
        self.cable((self.net, "eth0", INTERNET), (line, "one", []))
        self.cable((self.router, "wan", OUTSIDE), (line, "other", []))
        self.ip(self.net, "-6 route add default via 2001:db8:77:2::1")
        for host, device in ((self.net, "eth0"), (self.router, "wan")):
            # What passes through a program needs its checksums whole, and packets no larger than the line takes.
            run(*self.within(host, "ethtool", "-K", device, "tx", "off", "gso", "off", "tso", "off"))
        self.program("farline", "one", "other", delay_ms, host=line)

    def second_router(self):
        """Another router with NAT between the first one and the internet."""
        self.ip(self.net, "link del eth0")
        outer = self.space("out")
        self.cable((self.net, "eth0", INTERNET), (outer, "wan", OUTSIDE))
        self.cable((self.router, "wan", ["192.168.1.2/24"]), (outer, "lan", ["192.168.1.1/24"]))
        self.ip(self.router, "route add default via 192.168.1.1")
        self.forwards(outer)
        for rule in ("add table ip nat", "add chain ip nat post { type nat hook postrouting priority 100; }", "add rule ip nat post oifname wan masquerade"):
            run(*self.within(outer, "nft", rule))

    def routes(self):
        self.ip(self.nas, f"route replace default via {LAN}")
        self.ip(self.nas, "-6 route replace default via 2001:db8:77:1::1")

    def resolv(self, *servers):
        (self.etc / "resolv.conf").write_text("".join(f"nameserver {s}\n" for s in servers))

    def nft(self, *rules):
        for rule in rules:
            run(*self.within(self.router, "nft", rule))

    def drop(self, rule, family="ip"):
        self.nft(f"add rule {family} faults forward {rule} drop")

    def pass_all(self):
        self.nft("flush chain ip faults forward", "flush chain ip6 faults forward", "flush chain ip nat pre")

    def vanish(self, address, port):
        """Packets from and to a server vanish, without a word."""
        self.drop(f"ip daddr {address} tcp dport {port}")
        self.drop(f"ip saddr {address} tcp sport {port}")

    def strict(self):
        """A router that lets no connection through that it does not know, and tells nobody so."""
        self.nft("add chain ip nat guard { type filter hook forward priority 10; }", "add rule ip nat guard iifname wan ct state new drop",
                 "add rule ip nat guard iifname lan tcp flags & (syn | ack) == ack ct state new drop")

    def move_nas(self):
        """The NAS gets another address, the old one is gone."""
        self.ip(self.nas, f"addr del {NAS}/24 dev eth0")
        self.ip(self.nas, f"addr add {OTHER_NAS}/24 dev eth0")
        self.routes()

    def forget(self):
        """The router forgets every connection; those that it knows then."""
        run(*self.within(self.router, "conntrack", "-F"))
        return run(*self.within(self.router, "conntrack", "-L"))

    # ---- programs ----

    def certificates(self, where="broker"):
        """CA, certificate and accounts, older than any build and good for twenty years."""
        run("env", f"MOORLINE_BROKER={NAME}:{BROKER}", *dated(OLD), TOP / "scripts/broker", self.where / where, PORT)

    def broker(self):
        if not (self.where / "broker").exists():
            self.certificates()
        environment = {"MOORLINE_BROKER": f"{NAME}:{self.address}", "MOORLINE_BROKER_MORE": self.more}
        self.launch("broker", self.net, TOP / "scripts/broker", self.where / "broker", PORT, "--run", environment=environment)
        self.wait_port(self.net, self.address, PORT)

    def dns(self, *more, servers=(DNS1, DNS2), records=(BROKER,), local=("--local=/lab/",), what="dns"):
        """Name servers that know only what they are told; without `local` they refuse the rest."""
        self.stop(what)
        listen = [f"--listen-address={s}" for s in servers]
        record = ["--host-record=" + ",".join((NAME, *records))] if records else []
        self.launch(what, self.net, *DNSMASQ, *local, *record, *listen, *more)

    def all(self):
        """Name servers and broker, as they should be."""
        self.dns()
        self.broker()

    def reconnect(self):
        self.call("POST", "/v1/cloud/reconnect")

    def wait_loss(self, patience=10):
        self.wait("the loss", lambda: not self.is_online(), patience)

    def program(self, what, *arguments, host=None):
        """One of the lab's own programs, beside this file."""
        self.launch(what, host or self.net, "python3", TOP / "tests/lab" / f"{what}.py", *arguments)

    # ---- the agent ----

    def start_agent(self):
        directory = self.where
        text = CONFIG.format(url=self.url, dir=directory, clock=self.clock, pace=self.pace) + self.remote
        (directory / "agent.toml").write_text(text)
        self.launch("agent", self.nas, BINARY, "agent", "--config", directory / "agent.toml", environment=self.environment)
        self.agent = self.running["agent"]
        end = time.monotonic() + 10
        while True:
            try:
                return self.get("/v1/cloud")
            except OSError as error:
                if time.monotonic() > end or self.agent.poll() is not None:
                    raise Failed(f"the agent does not start: {(directory / 'agent.log').read_text()[-500:]}") from error
                time.sleep(0.02)

    def call(self, method, path, body=None, timeout=25):
        connection = self.kept or Call(self.where / "control.sock", timeout)
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        text = answer.read()
        if connection is not self.kept:
            connection.close()
        if answer.status >= 400:
            raise Failed(f"{method} {path}: {text[:300]}")
        return json.loads(text)

    def get(self, path):
        return self.call("GET", path)

    def is_online(self):
        return self.get("/v1/cloud")["online"]

    def wait(self, what, holds, patience=PATIENCE):
        """Until it holds; how long that took."""
        began = time.monotonic()
        while not holds():
            if self.agent and self.agent.poll() is not None:
                raise Failed(f"the agent ended with {self.agent.returncode}")
            if time.monotonic() > began + patience:
                raise Failed(f"not within {patience} s: {what}; {self.get('/v1/cloud').get('last_failure')}")
            time.sleep(0.02)
        return time.monotonic() - began

    def codes(self):
        return [f["code"] for f in self.get("/v1/status")["findings"]]

    def resident(self):
        text = Path(f"/proc/{self.agent.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.agent.pid}/fd"))

    def packets(self):
        return int(run(*self.within(self.nas, "cat", "/sys/class/net/eth0/statistics/tx_packets")))

    def close(self, keep):
        self.stop_all()
        for host in self.spaces:
            run("ip", "netns", "del", host, check=False)
        shutil.rmtree(self.etc, ignore_errors=True)
        if not keep:
            shutil.rmtree(self.where, ignore_errors=True)
