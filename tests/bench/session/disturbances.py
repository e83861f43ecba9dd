"""What is done to them. A disturbance is a generator: what it does before its first `yield` prepares the world before the peer
starts; up to the second it does harm, whose value says for how long; what follows is the cure. Where there is no cure the time
is taken from the harm."""
import signal
import time

from world import BROKER

MOVED = "198.51.100.11"
DISTURBANCES = {}


def disturbance(script):
    DISTURBANCES[script.__name__.replace("_", "-")] = script
    return script


@disturbance
def server_restart(w, peer):
    """server killed, started again after 10 s"""
    yield
    w.stop(peer.server)
    yield 10
    peer.serve(w)


@disturbance
def half_open(w, peer):
    """packets vanish both ways for 40 s, without a word"""
    yield
    w.vanish(w.address, peer.port)
    yield 40
    w.pass_all()


@disturbance
def nat_forgotten(w, peer):
    """the router forgets the connection (from then on)"""
    w.strict()
    yield
    for _ in range(50):
        # An entry that was just being renewed outlives the flush.
        if f"dport={peer.port}" not in w.forget():
            break
    yield 0


def pulled(w, hold):
    yield
    w.ip(w.router, "link set lan down")
    yield hold
    w.ip(w.router, "link set lan up")
    w.routes()


@disturbance
def link_5s(w, peer):
    """link pulled for 5 s"""
    yield from pulled(w, 5)


@disturbance
def link_40s(w, peer):
    """link pulled for 40 s"""
    yield from pulled(w, 40)


@disturbance
def address_changed(w, peer):
    """the NAS gets another address (from then on)"""
    yield
    w.move_nas()
    yield 0


@disturbance
def names_silent(w, peer):
    """name server silent for 30 s, server killed and started again after 5 s of them"""
    yield
    w.drop("udp dport 53")
    w.stop(peer.server)
    time.sleep(5)
    peer.serve(w)
    yield 25
    w.pass_all()


@disturbance
def server_moved(w, peer):
    """server gets another address, the old one is dead (from the new address in DNS on)"""
    yield
    w.vanish(BROKER, peer.port)
    w.stop(peer.server)
    w.ip(w.net, f"addr add {MOVED}/24 dev eth0")
    w.address = MOVED
    peer.serve(w)
    w.dns(records=(MOVED,))
    yield 0


@disturbance
def server_mute(w, peer):
    """server process stopped for 30 s: connections open and nothing is said"""
    yield
    w.signal(peer.server, signal.SIGSTOP)
    yield 30
    w.signal(peer.server, signal.SIGCONT)


@disturbance
def frozen(w, peer):
    """the peer's own process stopped for 40 s"""
    yield
    w.signal(peer.program, signal.SIGSTOP)
    yield 40
    w.signal(peer.program, signal.SIGCONT)
