"""What brokers do, and other ways to speak to them."""
from world import BROKER, NAME, PORT, Failed

from . import case

# Reasons of CONNACK (MQTT 5, 3.2.2.2), and of DISCONNECT from a server (3.14.2.1).
REFUSALS = [0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f]
ENDS = [0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2]


def fake(w, *words, port=PORT):
    w.stop("fakebroker")
    w.program("fakebroker", w.where / "broker", BROKER, port, *words)
    w.wait_port(w.net, BROKER, port)


def real(w):
    """The broker is back in its place."""
    w.stop("fakebroker")
    w.broker()


def replaced(w, hold, *words):
    """For so long the fake broker stands in the real one's place."""
    w.all()
    yield
    w.stop("broker")
    fake(w, *words)
    yield hold
    real(w)


def each_named(w, word, codes, said):
    """The fake broker uses each of these reasons, one after the other, and each is named."""
    w.all()
    yield
    w.stop("broker")
    for code in codes:
        fake(w, word, code)
        w.reconnect()
        w.wait(f"reason 0x{code:02x} is named", lambda c=code: f"(0x{c:02x})" in failure(w).get("detail", "") and said in failure(w)["detail"], 15)
        if not failure(w).get("code"):
            raise Failed(f"reason 0x{code:02x} has no finding")
    yield 0
    real(w)
    w.reconnect()


def failure(w):
    return w.get("/v1/cloud").get("last_failure") or {}


@case(doctor="broker-refused", findings="broker-refused", back_within=12)
def broker_restart(w):
    """the broker is killed and started again"""
    w.all()
    yield
    w.stop("broker")
    yield 5
    w.broker()


@case(doctor="broker-silent", findings="broker-silent", back_within=20)
def broker_mute(w):
    """in the broker's place something accepts connections and says nothing"""
    yield from replaced(w, 12, "mute")


@case(doctor="broker-closed", findings="broker-closed", back_within=20)
def broker_closes(w):
    """in the broker's place something hangs up on every login"""
    yield from replaced(w, 8, "close")


@case(doctor="tls-failed", findings="tls-failed", back_within=12)
def tls_1_2_only(w):
    """the broker speaks only TLS 1.2"""
    yield from replaced(w, 5, "tls12")


@case(doctor="broker-credentials-refused", findings="broker-credentials-refused", back_within=70)
def bad_password(w):
    """the broker says that user name or password is wrong"""
    yield from replaced(w, 6, "refuse", 0x86)
    w.reconnect()


@case(doctor="session-unstable", findings="session-unstable", lasting="session-unstable", back_within=12)
def broker_flapping(w):
    """the broker goes away four times, five seconds up and three down"""
    w.all()
    yield
    for _ in range(4):
        w.stop("broker")
        w.wait_loss()
        w.broker()
        w.wait("the session", w.is_online, 15)
    yield 0


@case(doctor="broker-rejected broker-busy broker-protocol-error", back_within=70)
def refusals(w):
    """the broker refuses the login with each reason of MQTT 5, one after the other"""
    yield from each_named(w, "refuse", REFUSALS, "refused the login")


@case(back_within=70, lasting="session-unstable identity-cloned broker-rejected")
def endings(w):
    """the broker ends a good session with each reason of MQTT 5, one after the other"""
    yield from each_named(w, "end", ENDS, "ended the session")


@case(back_within=1, stays_online=True)
def server_keepalive(w):
    """the broker wants a sign of life every five seconds"""
    w.dns(), w.certificates()
    fake(w, "keepalive", 5)
    yield
    if w.get("/v1/cloud")["keepalive_s"] != 5:
        raise Failed("the broker's keepalive is not used")
    yield 12


@case(doctor="broker-protocol-error session-unstable", findings="broker-protocol-error session-unstable", lasting="session-unstable", back_within=15)
def large_message(w):
    """the broker sends a message larger than was agreed"""
    w.all()
    yield
    w.stop("broker")
    fake(w, "large")
    w.wait("it is named", lambda: failure(w).get("code") == "broker-protocol-error", 15)
    yield 3
    real(w)


@case(doctor="broker-old", anywhere=True, up_within=6, stays_online=True, back_within=1)
def only_3_1_1(w):
    """the broker knows only MQTT 3.1.1"""
    w.dns(), w.certificates()
    fake(w, "old")
    yield
    if w.get("/v1/cloud")["broker_limits"]["mqtt"] != "3.1.1":
        raise Failed("it is not MQTT 3.1.1")
    yield 3


@case(up_within=6, stays_online=True, back_within=1)
def alpn_443(w):
    """only port 443 gets through, and who answers there wants to be told by ALPN that it is MQTT"""
    w.url = f"mqtts://{NAME}:443"
    w.dns(), w.certificates()
    w.drop("iifname lan tcp dport != 443")
    fake(w, "alpn", port=443)
    yield
    yield 3


@case(up_within=6, stays_online=True, back_within=1)
def websocket(w):
    """only MQTT over WebSocket gets through, on port 443"""
    w.url = f"wss://{NAME}/mqtt"
    w.more = f"listener 443 {BROKER}\ncafile DIR/ca.pem\ncertfile DIR/server.pem\nkeyfile DIR/server.key\nprotocol websockets"
    w.drop("iifname lan tcp dport != 443")
    w.all()
    yield
    yield 3
