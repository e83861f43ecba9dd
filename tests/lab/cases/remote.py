"""How a paired device finds its NAS: from outside through the broker or by the router's port, at home over the LAN; and how it moves."""
import json
import time

from world import BROKER, CLIENT, PORT, Failed, run

from . import case
from .router import upnpd

OUTSIDE, DOOR = "11.22.33.44", 46800


class Phone:
    """A device, on one of the hosts; what it has forwarded."""

    def __init__(self, w, host):
        self.w, self.host, self.state = w, host, w.where / "phone"
        code = w.call("POST", "/v1/codes", {"user": "anna"})["code"]
        words = ["pair", code, "--broker", f"mqtts://{BROKER}:{PORT}", "--ca", w.where / "broker/ca.pem", "--user", "pairing",
                 "--password-file", w.where / "broker/pairing.password"]
        run(*self.command(host, *words))

    def command(self, host, *words):
        return self.w.within(host, CLIENT, *words, "--state", self.state, "--json")

    def forward(self, host, *words):
        """From this host; gives what is said of the path."""
        self.w.stop("forward")
        self.host = host
        log = self.w.where / "forward.log"
        log.unlink(missing_ok=True)
        self.w.launch("forward", host, CLIENT, "forward", "files", "--state", self.state, "--json", *words)
        self.w.wait("the forward", lambda: self.told(), 30)
        return self.told()[0]

    def told(self):
        log = self.w.where / "forward.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    def path(self):
        return self.told()[-1]["path"]

    def fetch(self):
        """A file, by a new connection; how long it took."""
        began = time.monotonic()
        url = f"http://{self.told()[0]['listening']}/file"
        got = run(*self.w.within(self.host, "curl", "-sS", "--max-time", "30", url))
        if got != "here it is\n":
            raise Failed(f"the file is {got!r}")
        return time.monotonic() - began


def house(w):
    """A NAS with a file to be read and a door for devices."""
    (w.where / "files").mkdir()
    (w.where / "files/file").write_text("here it is\n")
    w.remote = (f"[remote]\nport = {DOOR}\n[[service]]\nname = \"files\"\naddress = \"127.0.0.1:8000\"\n"
                f"[cloud.device_access]\nuser = \"device\"\npassword_file = \"{w.where}/broker/device.password\"\n")
    w.all()
    w.launch("web", w.nas, "python3", "-m", "http.server", "--bind", "127.0.0.1", "8000", "--directory", w.where / "files")


def goes(phone, told, path):
    if told["path"] != path:
        raise Failed(f"it goes by {told['path']} and not by {path}: {told['not']}")
    phone.fetch()


def carriers(w):
    return w.get("/v1/status")["remote"]["carriers"]


def settle(w):
    """No device is there any more, and the bulk connection is closed."""
    w.stop("forward")
    w.wait("the carriers are gone", lambda: not carriers(w), 60)
    time.sleep(11)


@case(stays_online=True, back_within=1, more_kib=2048)
def paths(w):
    """a device outside comes through the broker, then by the router's port; at home it moves to the LAN as soon as it sees the NAS there"""
    house(w)
    upnpd(w, OUTSIDE)
    w.ip(w.net, f"route add {OUTSIDE}/32 via 198.51.100.1")
    yield
    w.call("PATCH", "/v1/cloud", {"mode": "relay"})
    w.call("PUT", "/v1/users/anna", {})
    phone = Phone(w, w.net)
    told = phone.forward(w.net)
    goes(phone, told, "broker")
    if "has told no address" not in told["not"]["direct"]:
        raise Failed(f"why not directly: {told['not']}")
    # While it runs, the NAS gets a port of the router's.
    w.call("PATCH", "/v1/cloud", {"mode": "automatic"})
    moved = w.wait("it goes directly", lambda: phone.path() == "direct", 40)
    phone.fetch()
    if carriers(w)[-1]["path"] != "direct":
        raise Failed(f"the NAS sees {carriers(w)}")
    goes(phone, phone.forward(w.net), "direct")
    # The port is given back: what goes next finds its way.
    w.call("PATCH", "/v1/cloud", {"mode": "relay"})
    w.wait("the port is shut", lambda: w.get("/v1/status")["remote"]["router"]["state"] == "off", 10)
    w.drop(f"tcp dport {DOOR}")
    w.drop(f"tcp sport {DOOR}")
    lost = phone.fetch()
    if phone.path() != "broker":
        raise Failed(f"it goes by {phone.path()}")
    w.pass_all()
    # At home, but the NAS cannot be seen yet.
    run(*w.within(w.nas, "nft", "add table ip deaf; add chain ip deaf in { type filter hook input priority 0; }; add rule ip deaf in udp dport 5353 drop; "
                  "add table ip6 deaf; add chain ip6 deaf in { type filter hook input priority 0; }; add rule ip6 deaf in udp dport 5353 drop"))
    told = phone.forward(w.router)
    goes(phone, told, "broker")
    if "by then" not in told["not"]["lan"]:
        raise Failed(f"why not over the LAN: {told['not']}")
    run(*w.within(w.nas, "nft", "flush chain ip deaf in; flush chain ip6 deaf in"))
    home = w.wait("it goes over the LAN", lambda: phone.path() == "lan", 60)
    phone.fetch()
    # The next one may hear the broker first, if the NAS takes its time to answer on the LAN; it does not stay there.
    phone.forward(w.router)
    again = w.wait("it goes over the LAN again", lambda: phone.path() == "lan", 20)
    phone.fetch()
    settle(w)
    print(f"     paths: from broker to direct {moved:.1f} s after the router was asked, from a lost port to the broker {lost:.1f} s, to the LAN {home:.1f} s after it could be seen, and {again:.1f} s for the next",
          flush=True)
    yield 0


@case(stays_online=True, back_within=1, more_kib=2048)
def paths_gone(w):
    """a connection that says nothing while its path goes is told so, and the next one does not have to find out"""
    house(w)
    upnpd(w, OUTSIDE)
    w.ip(w.net, f"route add {OUTSIDE}/32 via 198.51.100.1")
    yield
    w.call("PATCH", "/v1/cloud", {"mode": "automatic"})
    w.wait("the router has given a port", lambda: w.get("/v1/status")["remote"]["router"]["state"] == "mapped", 60)
    w.call("PUT", "/v1/users/anna", {})
    phone = Phone(w, w.net)
    phone.forward(w.net)
    w.wait("it goes directly", lambda: phone.path() == "direct", 40)
    # With one path there is no better one to ask for: nothing at all is said.
    goes(phone, phone.forward(w.net, "--path", "direct"), "direct")
    host, port = phone.told()[0]["listening"].rsplit(":", 1)
    w.launch("silent", w.net, "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}; cat <&3")
    time.sleep(1)
    w.drop(f"tcp dport {DOOR}")
    w.drop(f"tcp sport {DOOR}")
    told = w.wait("the silent connection is told", lambda: w.running["silent"].poll() is not None, 30)
    # Nor does the NAS keep what nobody will come back to; the way is still shut, so that no word of the device's helps.
    left = w.wait("the NAS has given up the carrier", lambda: all(c["path"] != "direct" for c in carriers(w)), 60)
    w.pass_all()
    quick = phone.fetch()
    if quick > 4:
        raise Failed(f"the next takes {quick:.1f} s")
    settle(w)
    print(f"     paths-gone: told after {told:.1f} s of silence, the next connection took {quick:.1f} s, the carrier was given up by the NAS {left:.1f} s later", flush=True)
    yield 0


@case(doctor="router-double-nat", anywhere=True, stays_online=True, back_within=1, more_kib=2048)
def paths_behind_two(w):
    """behind two routers a device outside comes through the broker, and is told why not directly"""
    w.second_router()
    house(w)
    upnpd(w, None)
    yield
    w.call("PUT", "/v1/users/anna", {})
    w.wait("the router has answered", lambda: w.get("/v1/status")["remote"]["router"]["state"] != "trying", 20)
    phone = Phone(w, w.net)
    told = phone.forward(w.net)
    goes(phone, told, "broker")
    print(f"     paths-behind-two: not directly: {told['not']['direct']}", flush=True)
    settle(w)
    yield 1
