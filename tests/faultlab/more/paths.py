"""Links that come and go, routers that restart, ways that are long, narrow or closed."""
import sys
import time
from pathlib import Path

from cases import case
from world import BROKER, BROKER6, LAN, NAME, PORT, TOP, Failed, run

PROGRAM = Path(__file__).resolve().parents[1] / "delayline.py"
ELSEWHERE = "198.51.100.11"


@case(back_within=2)
def link_down_1s(w):
    """the cable is pulled for a second"""
    w.dns(), w.broker()
    yield
    w.ip(w.router, "link set lan down")
    time.sleep(1)
    w.ip(w.router, "link set lan up")
    w.routes()
    w.wait("the session", w.is_online, 2)
    yield 0


@case(lasting="session-unstable", back_within=2)
def link_flapping(w):
    """the link goes down and up ten times, 0.3 s each"""
    w.dns(), w.broker()
    yield
    before = w.get("/v1/cloud")["counters"]["attempts"]
    for _ in range(10):
        for state in ("down", "up"):
            w.ip(w.router, f"link set lan {state}")
            time.sleep(0.3)
        w.routes()
    attempts = w.get("/v1/cloud")["counters"]["attempts"] - before
    if attempts > 20:
        raise Failed(f"{attempts} attempts in ten flaps")
    w.wait("the session", w.is_online, 3)
    yield 0


# The broker has an IPv4 address only, and IPv6's default route does not help.
@case(doctor="route-missing broker-unreachable", findings="route-missing broker-unreachable", back_within=3)
def route_gone_ipv4(w):
    """only the default route of IPv4 is taken away, and put back"""
    w.dns(), w.broker()
    w.resolv("2001:db8:77:2::53")
    w.ip(w.net, "addr add 2001:db8:77:2::53/64 dev eth0 nodad")
    w.dns("--listen-address=2001:db8:77:2::53")
    yield
    w.ip(w.nas, "route del default")
    w.wait("the loss", lambda: not w.is_online(), 25)
    yield 6
    w.routes()


@case(doctor="dns-failed broker-unreachable", findings="dns-failed broker-unreachable broker-silent", back_within=8)
def router_restart(w):
    """the router restarts behind a switch: the link stays, nothing gets through for 25 s, its table is empty afterwards"""
    w.dns(), w.broker()
    yield
    w.drop("counter"), w.drop("counter", "ip6")
    run(*w.inside(w.router, "conntrack", "-F"), check=False)
    w.wait("the loss", lambda: not w.is_online(), 25)
    yield 5
    w.pass_all()


@case(back_within=3)
def router_changed(w):
    """another router takes over: another gateway in the same network"""
    w.dns(), w.broker()
    yield
    # The kernel takes secondary addresses away with the first one, so the new one comes after.
    w.ip(w.router, f"addr del {LAN}/24 dev lan")
    w.ip(w.router, "addr add 192.168.77.2/24 dev lan")
    # The one before knew the connection; this one does not.
    run(*w.inside(w.router, "conntrack", "-F"), check=False)
    w.nft("add chain ip nat guard { type filter hook forward priority 10; }", "add rule ip nat guard ct state new tcp flags & (syn | ack) == ack drop")
    w.ip(w.nas, "route replace default via 192.168.77.2")
    # Asked at once, it is silent: the loss is noticed after a probe.
    w.wait("the loss", lambda: not w.is_online(), 12)
    w.wait("the session by the other router", w.is_online, 5)
    yield 0


@case(doctor="broker-unreachable", findings="broker-unreachable broker-silent", back_within=12)
def firewall_rejects(w):
    """a firewall answers for the broker: administratively prohibited"""
    w.dns(), w.broker()
    yield
    w.nft(f"add rule ip faults forward ip daddr {BROKER} tcp dport {PORT} reject with icmp type admin-prohibited")
    w.wait("the loss", lambda: not w.is_online(), 30)
    yield 6
    w.pass_all()


@case(doctor="broker-refused", findings="broker-refused", back_within=12)
def firewall_resets(w):
    """a firewall answers for the broker with a reset"""
    w.dns(), w.broker()
    yield
    w.nft(f"add rule ip faults forward ip daddr {BROKER} tcp dport {PORT} reject with tcp reset")
    w.wait("the loss", lambda: not w.is_online(), 25)
    yield 6
    w.pass_all()


# TCP opens by IPv6 and TLS stalls there for ten seconds; the next attempt begins with IPv4.
@case(up_within=14, stays_online=True, back_within=1)
def ipv6_narrow(w):
    """IPv6 opens connections and loses every larger packet"""
    w.more = f"listener {PORT} {BROKER6}\ncafile DIR/ca.pem\ncertfile DIR/server.pem\nkeyfile DIR/server.key"
    w.dns(records=(BROKER, BROKER6))
    w.drop("meta length > 500", "ip6")
    w.broker()
    yield
    yield 3


# The name servers' addresses change with the broker's, and the old one is silent.
@case(doctor="broker-unreachable", findings="broker-unreachable", back_within=25)
def broker_moved(w):
    """the broker comes back at another address; at the old one nobody answers"""
    w.dns(), w.broker()
    yield
    w.stop("broker")
    w.drop(f"ip daddr {BROKER}")
    yield 18
    w.ip(w.net, f"addr add {ELSEWHERE}/24 dev eth0")
    w.dns(records=(ELSEWHERE,))
    w.start("broker", w.net, TOP / "scripts/broker", w.where / "broker", PORT, "--run", environment={"MOORLINE_BROKER": f"{NAME}:{ELSEWHERE}"})
    w.wait_port(w.net, ELSEWHERE, PORT)


def far_away(w, ms):
    """The wire between router and internet becomes this long each way."""
    w.ip(w.router, "link del wan")
    w.ip(w.router, "link add wan type veth peer name wan-far")
    w.ip(w.net, f"link add eth0 type veth peer name net-far netns {w.router}")
    for host, device, addresses in ((w.router, "wan", ("198.51.100.1/24", "2001:db8:77:2::1/64 nodad")),
                                    (w.net, "eth0", (f"{BROKER}/24", "198.51.100.53/24", "198.51.100.54/24", f"{BROKER6}/64 nodad"))):
        for address in addresses:
            w.ip(host, f"addr add {address} dev {device}")
        w.ip(host, f"link set {device} up")
        run(*w.inside(host, sys.executable, PROGRAM, "--whole", device))
    for device in ("wan-far", "net-far"):
        # Nothing of this machine's own is to speak there.
        run(*w.inside(w.router, "sysctl", "-qw", f"net.ipv6.conf.{device}.disable_ipv6=1"))
        w.ip(w.router, f"link set {device} up")
    w.ip(w.net, "route replace default via 198.51.100.1")
    w.ip(w.net, "-6 route replace default via 2001:db8:77:2::1")
    w.start("delayline", w.router, "python3", PROGRAM, "wan-far", "net-far", ms)


@case(doctor="network-slow", anywhere=True, up_within=30, stays_online=True, back_within=1)
def delay_2s(w):
    """an answer takes two seconds, as by satellite with a full queue"""
    far_away(w, 1000)
    w.dns(), w.broker()
    yield
    yield 25


@case(doctor="network-slow", anywhere=True, up_within=60, stays_online=True, back_within=1)
def delay_and_loss(w):
    """an answer takes two seconds, and every tenth packet is lost in both directions"""
    far_away(w, 1000)
    w.drop("numgen random mod 100 < 10")
    w.dns(), w.broker()
    yield
    yield 45
