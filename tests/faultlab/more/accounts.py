"""Accounts that go and come back with nobody's help; clocks that leap; name servers that lie beside one that does not."""
import shutil
import time

from cases import case
from cases.login import fake_clock
from world import DNS1, DNS2, PORTAL, Failed, run


# Refused logins are retried every thirty to sixty seconds; nobody asks for a new session here.
@case(doctor="broker-not-authorized broker-credentials-refused", findings="broker-not-authorized broker-credentials-refused", back_within=63)
def account_removed(w):
    """the NAS's account is removed at the broker, and put back; the agent comes back by itself"""
    w.dns(), w.broker()
    yield
    w.stop("broker")
    passwords = w.where / "broker/passwords"
    shutil.copy(passwords, w.where / "passwords")
    run("mosquitto_passwd", "-D", passwords, "nas")
    w.broker()
    yield 5
    w.stop("broker")
    shutil.copy(w.where / "passwords", passwords)
    w.broker()


@case(stays_online=True, back_within=3)
def clock_leaps(w):
    """the clock leaps ten years ahead, to 1970, and back, while the session is up"""
    fake_clock(w, "unused")
    offset = w.where / "offset"
    offset.write_text("+0\n")
    del w.environment["FAKETIME"]
    w.environment |= {"FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1"}
    w.dns(), w.broker()
    yield
    for leap in ("+3650d", f"-{int(time.time()) - 86400}", "+0"):
        offset.write_text(f"{leap}\n")
        end = time.monotonic() + 12
        while time.monotonic() < end:
            if not w.is_online():
                raise Failed(f"the session was lost by a leap of {leap}")
            time.sleep(0.1)
    yield 0


# The first attempt goes by the lie and finds somebody else's certificate; the next asks the owner's server first.
@case(doctor="dns-hijacked", anywhere=True, comes_up=False, back_within=1)
def dns_rewritten_override(w):
    """every name leads to a portal, the owner sets a name server that does not lie"""
    w.resolv(DNS1)
    w.dns(servers=(DNS2,))
    w.start("lying", w.net, "dnsmasq", "-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", f"--address=/#/{PORTAL}",
            f"--listen-address={DNS1}", "--bind-interfaces", "--user=root", "--pid-file=")
    w.program("portal", PORTAL)
    w.broker()
    yield
    w.call("PATCH", "/v1/cloud", {"dns": [DNS2]})
    w.wait("the session by the owner's server", w.is_online, 15)
    yield 1
