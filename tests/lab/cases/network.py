"""Link, address, route, and the ways packets get lost."""
import time

from world import BROKER, BROKER6, NAS, PORT

from . import case


def plug(w):
    w.ip(w.router, "link set lan up")
    w.routes()


def pulled(w, hold):
    """The cable is out for so long."""
    w.all()
    yield
    w.ip(w.router, "link set lan down")
    yield hold
    plug(w)


@case(back_within=1)
def link_down_1s(w):
    """the cable is pulled for one second; the doctor is asked afterwards"""
    w.all()
    yield
    w.ip(w.router, "link set lan down")
    time.sleep(1)
    plug(w)
    w.wait("the session", w.is_online, 2)
    yield 0


@case(doctor="link-down", findings="link-down", back_within=2)
def link_down_4s(w):
    """the cable is pulled for four seconds"""
    yield from pulled(w, 4)


@case(doctor="link-down", findings="link-down", back_within=2)
def link_down_40s(w):
    """the cable is pulled for forty seconds"""
    yield from pulled(w, 40)


@case(doctor="address-missing", findings="address-missing", back_within=2)
def address_gone(w):
    """the NAS has a link and no address, as with a router that gives none"""
    w.all()
    yield
    w.ip(w.nas, "addr flush dev eth0 scope global")
    yield 8
    for address in (f"{NAS}/24", "2001:db8:77:1::10/64 nodad"):
        w.ip(w.nas, f"addr add {address} dev eth0")
    w.routes()


@case(said="the NAS's own address changed", back_within=2)
def address_changed(w):
    """the NAS gets another address, the old one is gone"""
    w.all()
    yield
    w.move_nas()
    w.wait("the session by the other address", w.is_online, 3)
    yield 1


@case(doctor="route-missing", findings="route-missing", back_within=2)
def route_gone(w):
    """the default route is taken away and put back"""
    w.all()
    yield
    w.ip(w.nas, "route del default")
    w.ip(w.nas, "-6 route del default")
    w.wait_loss(15)
    yield 4
    w.routes()


@case(doctor="broker-unreachable", findings="broker-silent broker-unreachable", back_within=25)
def half_open(w):
    """packets of the connection vanish both ways, without a word"""
    w.all()
    yield
    w.vanish(BROKER, PORT)
    w.wait_loss(30)
    yield 6
    w.pass_all()


@case(doctor="broker-silent", back_within=25)
def nat_expired(w):
    """the router forgets the connection; packets from the broker find no way in"""
    w.all()
    w.strict()
    yield
    w.forget()
    # An entry that was just being renewed outlives the flush.
    w.wait("the router has forgotten", lambda: f"dport={PORT}" not in w.forget(), 5)
    w.wait_loss(30)
    yield 0


@case(doctor="ipv6-broken", up_within=5, stays_online=True, back_within=1)
def ipv6_black_hole(w):
    """the broker has an IPv6 address, and IPv6 leads nowhere"""
    w.dns(records=(BROKER, BROKER6))
    w.drop("ip6 nexthdr tcp", "ip6")
    w.broker()
    yield
    yield 1


@case(doctor="ipv4-broken", up_within=5, stays_online=True, back_within=1)
def ipv4_black_hole(w):
    """IPv4 leads nowhere, IPv6 is good"""
    w.more = f"listener {PORT} {BROKER6}\ncafile DIR/ca.pem\ncertfile DIR/server.pem\nkeyfile DIR/server.key"
    w.dns(records=(BROKER, BROKER6))
    w.drop(f"ip daddr {BROKER} meta l4proto tcp")
    w.broker()
    yield
    yield 1


@case(doctor="network-slow", up_within=10, stays_online=True, back_within=1)
def slow_way(w):
    """every connection takes more than a second to open: each first packet is lost"""
    w.drop(f"ip daddr {BROKER} tcp flags & (syn | ack) == syn numgen inc mod 2 == 0")
    w.all()
    yield
    yield 1


@case(doctor="network-slow", tries=5, up_within=25, stays_online=True, back_within=1)
def loss_10_percent(w):
    """every tenth packet is lost in both directions; the doctor sees it by chance, and may be asked again"""
    w.drop("numgen random mod 100 < 10")
    w.all()
    yield
    yield 25


@case(doctor="network-slow", up_within=25, stays_online=True, back_within=1)
def delay_2s(w):
    """every answer comes two seconds late"""
    w.far_away(1000)
    w.all()
    yield
    yield 1
