"""What stands between the NAS and a real broker, and certificates of the NAS's own."""
import shutil
import signal
from pathlib import Path

from cases import case
from world import BROKER, NAME, PORT, PORTAL, dated, run

PROGRAM = Path(__file__).resolve().parents[1] / "gateway.py"
CONNACK, PUBLISH, SUBACK, PINGRESP = 2, 3, 9, 13


def gateway(w, *words, address=PORTAL, port=PORT):
    w.stop("gateway")
    w.start("gateway", w.net, "python3", PROGRAM, w.where / "broker", address, port, *words)
    w.wait_port(w.net, address, port)


def behind(w, *words):
    """The broker's name leads to a gateway, and only the gateway to the broker."""
    w.more = "listener 1883 127.0.0.1"
    w.dns(records=(PORTAL,))
    w.broker()
    gateway(w, *words)


@case(up_within=4, stays_online=True, back_within=1)
def port_443_alpn(w):
    """only TLS on port 443 gets through, to a gateway that wants `mqtt` by ALPN"""
    w.url = f"mqtts://{NAME}:443"
    w.drop("iifname lan tcp dport != 443")
    w.more = "listener 1883 127.0.0.1"
    w.dns(), w.broker()
    gateway(w, "--alpn", "mqtt", address=BROKER, port=443)
    yield
    yield 3


@case(up_within=4, stays_online=True, back_within=1)
def byte_by_byte(w):
    """every byte of the broker's comes in a TLS record of its own"""
    behind(w, "--crumbs")
    yield
    yield 12


@case(doctor="broker-silent", findings="broker-silent", back_within=22)
def connack_lost(w):
    """the broker never answers the login"""
    behind(w)
    yield
    gateway(w, "--lose", CONNACK)
    yield 13
    gateway(w)


@case(doctor="broker-silent", findings="broker-silent", back_within=22)
def suback_lost(w):
    """the broker never answers the subscription"""
    behind(w)
    yield
    gateway(w, "--lose", SUBACK)
    yield 13
    gateway(w)


# A broker that drops what the NAS publishes is asked again only every thirty seconds at the soonest.
@case(doctor="echo-lost", findings="echo-lost", back_within=72)
def echo_lost(w):
    """the broker takes messages and delivers none"""
    behind(w)
    yield
    gateway(w, "--lose", PUBLISH)
    yield 13
    gateway(w)


# Nothing tells the agent of it: the silence is noticed after keepalive and probe, twenty seconds; then logins stall for ten each.
@case(doctor="broker-silent", findings="broker-silent", back_within=22)
def gateway_hangs(w):
    """the broker behind a gateway hangs: the connection stays open, and nothing comes"""
    behind(w)
    yield
    w.running["gateway"].send_signal(signal.SIGUSR1)
    w.wait("the loss", lambda: not w.is_online(), 22)
    yield 6
    w.running["gateway"].send_signal(signal.SIGUSR2)


@case(back_within=1, stays_online=True)
def pings_lost(w):
    """the broker does not answer pings, but delivers: the echo proves more than a ping"""
    behind(w, "--lose", PINGRESP)
    yield
    yield 25


def own_certificate(w, name="nas"):
    """The NAS's certificate by the broker's CA; the broker takes its name as the user."""
    directory = w.where / "broker"
    w.certificates()
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
        "-keyout", directory / "nas.key", "-out", directory / "nas.csr")
    # Without an extension it would be of version 1, which rustls does not take.
    (directory / "nas.ext").write_text("extendedKeyUsage=clientAuth\n")
    run(*dated("2024-01-01 00:00:00"), "openssl", "x509", "-req", "-in", directory / "nas.csr", "-CA", directory / "ca.pem",
        "-CAkey", directory / "ca.key", "-CAcreateserial", "-days", "7300", "-extfile", directory / "nas.ext", "-out", directory / "nas.pem")
    (directory / "nas.key").chmod(0o600)
    w.login = ""
    w.cloud = f'client_cert_file = "{directory}/nas.pem"\nclient_key_file = "{directory}/nas.key"'
    w.more = "require_certificate true\nuse_identity_as_username true"
    w.dns(), w.broker()


@case(up_within=4, stays_online=True, back_within=1)
def client_certificate(w):
    """the broker wants a certificate of the NAS's, and takes its name as the account"""
    own_certificate(w)
    yield
    yield 3


# TLS 1.3 tells the client of it only after its side of the handshake is done.
@case(doctor="tls-failed tls-unknown-issuer broker-credentials-refused broker-not-authorized broker-closed",
      findings="tls-failed tls-unknown-issuer broker-credentials-refused broker-not-authorized broker-closed", back_within=12)
def client_certificate_refused(w):
    """the broker no longer takes the NAS's certificate: it trusts another CA now"""
    own_certificate(w)
    yield
    # The agent has read the CA at its start; the broker reads it at each.
    ca, kept = w.where / "broker/ca.pem", w.where / "ca.pem"
    w.certificates(where="stranger")
    shutil.copy(ca, kept)
    w.stop("broker")
    shutil.copy(w.where / "stranger/ca.pem", ca)
    w.broker()
    yield 6
    w.stop("broker")
    shutil.copy(kept, ca)
    w.broker()
