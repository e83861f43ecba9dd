"""Name servers that are silent, wrong or lie."""
from world import DNS1, DNS2, PORTAL

from . import case


@case(doctor="dns-server-silent", up_within=3, stays_online=True, back_within=1)
def dns_first_silent(w):
    """the first name server says nothing, the second is good"""
    w.resolv(DNS1, DNS2)
    w.drop(f"ip daddr {DNS1} udp dport 53")
    w.all()
    yield
    yield 1


@case(doctor="dns-server-bad", up_within=3, stays_online=True, back_within=1)
def dns_first_refuses(w):
    """the first name server refuses, the second is good"""
    w.resolv(DNS1, DNS2)
    w.dns(servers=(DNS2,))
    w.dns(servers=(DNS1,), records=(), local=(), what="refusing")
    w.broker()
    yield
    yield 1


@case(doctor="dns-failed", findings="dns-failed", comes_up=False, back_within=2.5)
def dns_all_silent(w):
    """no name server answers, from the start"""
    w.resolv(DNS1, DNS2)
    w.drop("udp dport 53")
    w.all()
    yield
    yield 8
    w.pass_all()


@case(doctor="dns-server-silent", stays_online=False, back_within=12)
def dns_silent_memory(w):
    """no name server answers after a broker restart; the last address is used"""
    w.all()
    yield
    w.drop("udp dport 53")
    w.stop("broker")
    w.wait_loss()
    w.broker()
    w.wait("the session by the last address", w.is_online, 25)
    w.wait("its finding", lambda: "dns-name-from-memory" in w.codes(), 10)
    yield 1
    w.pass_all()
    w.reconnect()


@case(doctor="dns-server-silent", comes_up=False, back_within=8)
def dns_silent_override(w):
    """all name servers of the system are silent, the owner sets one of his own"""
    w.resolv(DNS1)
    w.drop(f"ip daddr {DNS1} udp dport 53")
    w.all()
    yield
    w.call("PATCH", "/v1/cloud", {"dns": [DNS2]})
    w.wait("the session by the owner's server", w.is_online, 10)
    yield 1


@case(doctor="dns-failed", findings="dns-failed", comes_up=False, back_within=2)
def dns_refused(w):
    """the name server refuses every question"""
    w.dns(records=(), local=())
    w.broker()
    yield
    yield 6
    w.dns()


@case(doctor="dns-name-unknown", findings="dns-name-unknown", comes_up=False, back_within=2)
def dns_name_unknown(w):
    """the name server says that there is no such name"""
    w.dns(records=()), w.broker()
    yield
    yield 6
    w.dns()


@case(doctor="dns-hijacked", findings="tls-unknown-issuer", comes_up=False, back_within=2)
def dns_rewritten(w):
    """every name leads to a portal"""
    w.broker()
    w.program("portal", PORTAL)
    w.dns(f"--address=/#/{PORTAL}", records=(), local=())
    yield
    yield 6
    w.dns()


@case(doctor="captive-portal", findings="tls-unknown-issuer", comes_up=False, back_within=12)
def captive_portal(w):
    """the router leads every connection to a portal until somebody logs in"""
    w.all()
    w.program("portal", PORTAL)
    w.nft(f"add rule ip nat pre iifname lan meta l4proto tcp dnat to {PORTAL}")
    w.drop("meta l4proto tcp", "ip6")
    yield
    yield 6
    w.pass_all()
    # Connections that were led astray stay so in the router's table; it forgets them when it lets the NAS in.
    w.forget()
