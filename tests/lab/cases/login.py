"""Certificates, clocks, accounts, rights, clones."""
import shutil
from pathlib import Path

from world import BINARY, BROKER, NAME, OLD, Failed, dated, run

from . import case


def other_certificate(w, name=NAME, date=OLD, days=None, keep_ca=True):
    """The broker comes back with another certificate."""
    w.stop("broker")
    directory = w.where / "broker"
    ca = directory if keep_ca else w.where / "stranger"
    if not keep_ca:
        w.certificates(where="stranger")
    (w.where / "ext").write_text(f"subjectAltName=DNS:{name},IP:{BROKER}\nextendedKeyUsage=serverAuth\n")
    run(*dated(date), "openssl", "x509", "-req", "-in", directory / "server.csr", "-CA", ca / "ca.pem", "-CAkey", ca / "ca.key", "-CAcreateserial",
        "-days", str(days or 7300), "-extfile", w.where / "ext", "-out", directory / "server.pem")
    w.broker()


def with_certificate(w, **other):
    """The broker has another certificate for a while."""
    w.all()
    yield
    shutil.copy(w.where / "broker/server.pem", w.where / "good-server.pem")
    other_certificate(w, **other)
    yield 4
    w.stop("broker")
    shutil.copy(w.where / "good-server.pem", w.where / "broker/server.pem")
    w.broker()


def with_file(w, name, change, hold):
    """The broker runs with a changed file of its own for so long."""
    w.all()
    yield
    file = w.where / "broker" / name
    good = file.read_bytes()
    w.stop("broker")
    change(file)
    w.broker()
    yield hold
    w.stop("broker")
    file.write_bytes(good)
    w.broker()
    w.reconnect()


@case(doctor="tls-expired", findings="tls-expired", back_within=12)
def tls_expired(w):
    """the broker's certificate has expired"""
    yield from with_certificate(w, days=30)


@case(doctor="tls-not-yet-valid", findings="tls-not-yet-valid", back_within=12)
def tls_not_yet_valid(w):
    """the broker's certificate is not valid yet"""
    yield from with_certificate(w, date="2034-01-01 00:00:00")


@case(doctor="tls-wrong-name", findings="tls-wrong-name", back_within=12)
def tls_wrong_name(w):
    """the broker's certificate is for another name"""
    yield from with_certificate(w, name="other.lab")


@case(doctor="tls-unknown-issuer", findings="tls-unknown-issuer", back_within=12)
def tls_unknown_issuer(w):
    """somebody with a certificate by another CA stands in the broker's place"""
    yield from with_certificate(w, keep_ca=False)


def fake_clock(w, date):
    library = next(p for p in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    w.environment = {"LD_PRELOAD": str(library), "FAKETIME": f"@{date}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@case(doctor="clock-unset", stays_online=True, back_within=1)
def clock_1970(w):
    """the clock stands in 1970; the session comes up all the same"""
    fake_clock(w, "1970-01-02 00:00:00")
    w.all()
    yield
    yield 1


@case(doctor="clock-wrong", stays_online=True, back_within=1)
def clock_ahead(w):
    """the clock is twenty-five years ahead, every certificate seems expired; time servers tell"""
    fake_clock(w, "2051-06-01 00:00:00")
    w.clock = 'trust = "kernel"'
    w.all()
    w.program("timeserver", BROKER)
    yield
    yield 1


@case(doctor="broker-not-authorized", findings="broker-not-authorized", back_within=70)
def wrong_password(w):
    """the NAS's password is changed at the broker, and put back"""
    yield from with_file(w, "passwords", lambda file: run("mosquitto_passwd", "-b", file, "nas", "another"), 5)


@case(doctor="broker-not-authorized", findings="broker-not-authorized", back_within=70)
def account_removed(w):
    """the NAS's account is removed at the broker, and made again"""
    yield from with_file(w, "passwords", lambda file: run("mosquitto_passwd", "-D", file, "nas"), 5)


@case(doctor="topic-rights-missing echo-lost", findings="topic-rights-missing echo-lost", back_within=70)
def rights_missing(w):
    """the broker's rules do not let the NAS use its topics"""
    yield from with_file(w, "acl", lambda file: file.write_text("user device\ntopic read moorline/#\n"), 12)


@case(doctor="identity-cloned", findings="identity-cloned", lasting="session-unstable", back_within=10)
def clone(w):
    """another box with a copy of this NAS's identity logs in"""
    w.all()
    yield
    directory = w.where / "clone"
    shutil.copytree(w.where / "store", directory / "store")
    text = (w.where / "agent.toml").read_text()
    text = text.replace(f'dir = "{w.where}/store"', f'dir = "{directory}/store"').replace(f'{w.where}/control.sock', f"{directory}/control.sock")
    (directory / "agent.toml").write_text(text)
    w.launch("clone", w.nas, BINARY, "agent", "--config", directory / "agent.toml")
    w.wait("the clone is noticed", lambda: "identity-cloned" in w.codes(), 20)
    connects = w.get("/v1/cloud")["counters"]["connects"]
    yield 8
    if w.get("/v1/cloud")["counters"]["connects"] != connects:
        raise Failed("the clone is fought")
    w.stop("clone")
    w.reconnect()
