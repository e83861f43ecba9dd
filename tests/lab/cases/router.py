"""What the doctor says of the router: a real miniupnpd, none, or one that tells what miniupnpd does not."""
from upnptables import NAMES, TABLES
from world import LAN, Failed, run

from . import case


def upnpd(w, outside):
    """miniupnpd on the router, with this address outside, or that of its interface."""
    if outside:
        w.ip(w.router, f"addr add {outside}/32 dev wan")
    (w.where / "tables.nft").write_text(TABLES)
    run(*w.within(w.router, "nft", "-f", w.where / "tables.nft"))
    text = (f"{NAMES}ext_ifname=wan\nlistening_ip=lan\nhttp_port=5555\nenable_natpmp=yes\nenable_upnp=yes\nsecure_mode=yes\n"
            f"uuid=00000000-0000-0000-0000-000000000001\nallow 1024-65535 192.168.77.0/24 1024-65535\n")
    text += f"ext_ip={outside}\n" if outside else ""
    (w.where / "upnpd.conf").write_text(text)
    w.launch("upnpd", w.router, "miniupnpd", "-d", "-f", w.where / "upnpd.conf", "-P", w.where / "upnpd.pid")


def says(w, outside):
    """The router says by NAT-PMP that this is its own address."""
    w.all()
    w.program("natpmpd", LAN, outside, host=w.router)
    yield
    yield 1


@case(doctor="router-no-mapping", anywhere=True, stays_online=True, back_within=1)
def no_igd(w):
    """the router answers none of the protocols for port mapping"""
    w.all()
    yield
    yield 1


@case(stays_online=True, back_within=1)
def igd(w):
    """the router opens ports and has a public address"""
    w.all()
    upnpd(w, "11.22.33.44")
    yield
    yield 1


@case(anywhere=True, said="it speaks PCP", stays_online=True, back_within=1)
def only_pcp(w):
    """the router speaks PCP only"""
    w.all()
    upnpd(w, "11.22.33.44")
    # The first byte of a datagram is the protocol's version: 0 is NAT-PMP, 2 is PCP.
    w.nft("add chain ip faults input { type filter hook input priority 0; }", "add rule ip faults input udp dport 1900 drop",
          "add rule ip faults input udp dport 5351 @th,64,8 0 drop")
    yield
    yield 1


@case(doctor="router-double-nat", anywhere=True, stays_online=True, back_within=1)
def double_nat(w):
    """the router stands behind another router, and has a private address by the first one's word"""
    yield from says(w, "192.168.1.2")


@case(doctor="router-double-nat", anywhere=True, said="behind it stands 192.168.1.1", stays_online=True, back_within=1)
def second_router(w):
    """a real second router with NAT; the first one's miniupnpd says only that it has no address that is any good"""
    w.second_router()
    w.all()
    upnpd(w, None)
    yield
    yield 1


@case(doctor="router-carrier-nat", anywhere=True, stays_online=True, back_within=1)
def carrier_nat(w):
    """the provider shares one address among many"""
    yield from says(w, "100.64.3.4")


@case(stays_online=True, back_within=1)
def mapped(w):
    """the agent has a port of the router's, which leads to its door, and gives it back when the owner goes by relay"""
    outside, port = "11.22.33.44", 46800
    w.remote = f"[remote]\nport = {port}\n"
    w.all()
    upnpd(w, outside)
    # To the internet it is a host like others.
    w.ip(w.net, f"route add {outside}/32 via 198.51.100.1")
    yield

    def router():
        return w.get("/v1/status")["remote"]["router"]

    def opens():
        return not run(*w.within(w.net, "bash", "-c", f"exec 3<>/dev/tcp/{outside}/{port} || echo shut"))

    # An agent that was quicker than the router's daemon asks again half a minute later.
    w.wait("the mapping", lambda: router()["state"] == "mapped", 60)
    if (router()["address"], router()["port"], router()["reachable"]) != (outside, port, True):
        raise Failed(f"the mapping is {router()}")
    w.wait("the port leads to the door", opens, 5)
    w.call("PATCH", "/v1/cloud", {"mode": "relay"})
    w.wait("the port is given back", lambda: router()["state"] == "off" and not opens(), 10)
    w.call("PATCH", "/v1/cloud", {"mode": "automatic"})
    w.wait("the mapping again", lambda: router()["state"] == "mapped", 20)
    yield 0
