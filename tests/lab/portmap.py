"""The keeper of a port mapping (examples/portmap.rs) on the NAS of a lab, and a real miniupnpd on its router; scripts/lab-portmap is
the command. A case is a function; what fails raises."""
import concurrent.futures
import json
import os
import re
import signal
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from namespaces import TOP  # noqa: E402
from upnptables import NAMES, TABLES  # noqa: E402
from world import LAN, NAS, Failed, World, run  # noqa: E402

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))
BINARY = os.environ.get("MOORLINE_LAB_PORTMAP", TARGET / "debug/examples/portmap")
OUTSIDE, INTERNAL, EXTERNAL = "11.22.33.44", 4430, 8443
# Longest case; they run side by side.
CASE_MAX = 90
ALLOW = "allow 1024-65535 192.168.77.0/24 1024-65535"
CONFIG = f"""ext_ifname=wan
listening_ip=lan
http_port=5555
secure_mode=yes
{NAMES}ext_ip={OUTSIDE}
clean_ruleset_interval=5
uuid=00000000-0000-0000-0000-000000000001
"""


class Lab:
    """A world with the keeper in it."""

    def __init__(self, name, number):
        self.world = World(name, number, where=TOP / "target/lab-portmap")
        self.rules, self.leases = self.world.where / "tables.nft", self.world.where / "leases"
        self.world.ip(self.world.router, f"addr add {OUTSIDE}/32 dev wan")
        self.end = time.monotonic() + CASE_MAX

    def upnpd(self, permit=ALLOW, natpmp=True, more=""):
        """A router as it is after a start: without rules, without leases."""
        self.world.stop("upnpd")
        self.leases.unlink(missing_ok=True)
        run(*self.world.within(self.world.router, "nft", "delete", "table", "inet", "upnp"), check=False)
        self.rules.write_text(TABLES)
        run(*self.world.within(self.world.router, "nft", "-f", self.rules))
        config = self.world.where / "upnpd.conf"
        protocols = f"enable_natpmp={'yes' if natpmp else 'no'}\nenable_upnp=yes\nlease_file={self.leases}\n"
        config.write_text(f"{CONFIG}{protocols}{more}{permit}\ndeny 0-65535 0.0.0.0/0 0-65535\n")
        self.world.launch("upnpd", self.world.router, "miniupnpd", "-d", "-f", config, "-P", self.world.where / "upnpd.pid")
        # Both ports are open before it logs that it listens.
        self.wait("miniupnpd", lambda: "Listening" in (self.world.where / "upnpd.log").read_text() or self.listens(), 10)

    def listens(self):
        return ":5555" in run(*self.world.within(self.world.router, "ss", "-tln"), check=False)

    def keep(self, external=EXTERNAL):
        self.world.launch("portmap", self.world.nas, BINARY, LAN, INTERNAL, external)

    def told(self):
        lines = (self.world.where / "portmap.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def last(self):
        told = self.told()
        return told[-1] if told else {}

    def wait(self, what, holds, patience=CASE_MAX):
        end = min(self.end, time.monotonic() + patience)
        while not holds():
            if time.monotonic() > end:
                raise Failed(f"not in time: {what}; last {self.last() if (self.world.where / 'portmap.log').exists() else None}")
            time.sleep(0.05)

    def wait_status(self, status, patience=CASE_MAX):
        self.wait(status, lambda: self.last().get("status") == status, patience)
        return self.last()

    def mapped(self):
        """The router's ports that lead to the NAS, by its rules."""
        text = run(*self.world.within(self.world.router, "nft", "list", "ruleset"))
        return [int(port) for port in re.findall(rf"dport (\d+) dnat (?:ip )?to {re.escape(NAS)}:{INTERNAL}", text)]

    def leased(self):
        return self.leases.read_text() if self.leases.exists() else ""

    def expect(self, holds, what):
        if not holds:
            raise Failed(f"{what}: {self.last()}, rules for {self.mapped()}, leases {self.leased()!r}")

    def expect_mapping(self, means, port=EXTERNAL):
        found = self.wait_status("mapping", 40)
        self.expect((found["means"], found["port"]) == (means, port), f"a mapping of {port} by {means}")
        self.wait("its address", lambda: self.last().get("address") == OUTSIDE and self.last().get("reachable"), 10)
        self.wait("one rule", lambda: self.mapped() == [port], 5)

    def terminate(self):
        """SIGTERM; the mapping has to be gone, and soon."""
        began = time.monotonic()
        process = self.world.running["portmap"]
        self.world.signal("portmap", signal.SIGTERM)
        self.wait("the end of the keeper", lambda: process.poll() is not None, 8)
        self.expect(process.returncode == 0 and self.last()["status"] == "off", "a clean end")
        self.expect(not self.mapped() and not self.leased().strip(), "no mapping after the end")
        return time.monotonic() - began


def pcp(lab):
    """PCP: mapped, seen from outside, ended at exit"""
    lab.upnpd()
    lab.keep()
    lab.expect_mapping("PCP")
    world = lab.world
    world.launch("service", world.nas, "python3", "-m", "http.server", INTERNAL, "--directory", HERE)
    world.wait_port(world.nas, NAS, INTERNAL)
    world.ip(world.net, f"route add {OUTSIDE}/32 via 198.51.100.1")
    world.wait_port(world.net, OUTSIDE, EXTERNAL)
    return f"ended after {lab.terminate():.1f} s"


def nat_pmp(lab):
    """NAT-PMP where packets of PCP vanish"""
    lab.upnpd()
    # The first byte of a datagram is the protocol's version: 0 is NAT-PMP, 2 is PCP.
    lab.world.nft("add chain ip faults input { type filter hook input priority 0; }", "add rule ip faults input udp dport 5351 @th,64,8 2 drop")
    lab.keep()
    lab.expect_mapping("NAT-PMP")
    return f"ended after {lab.terminate():.1f} s"


def upnp(lab):
    """UPnP only"""
    lab.upnpd(natpmp=False)
    lab.keep()
    lab.expect_mapping("UPnP")
    return f"ended after {lab.terminate():.1f} s"


def taken(lab):
    """UPnP, and the port is somebody else's"""
    lab.upnpd(natpmp=False)
    lab.world.ip(lab.world.nas, "addr add 192.168.77.99/24 dev eth0")
    body = ("<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>"
            "<u:AddPortMapping xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\"><NewRemoteHost></NewRemoteHost>"
            f"<NewExternalPort>{EXTERNAL}</NewExternalPort><NewProtocol>TCP</NewProtocol><NewInternalPort>{INTERNAL}</NewInternalPort>"
            "<NewInternalClient>192.168.77.99</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>other"
            "</NewPortMappingDescription><NewLeaseDuration>600</NewLeaseDuration></u:AddPortMapping></s:Body></s:Envelope>")
    action = "SOAPACTION: \"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping\""
    answer = run(*lab.world.within(lab.world.nas, "curl", "-s", "--interface", "192.168.77.99", "-H", action, "-d", body, f"http://{LAN}:5555/ctl/IPConn"))
    lab.expect("AddPortMappingResponse" in answer, f"somebody else's mapping: {answer}")
    lab.keep()
    found = lab.wait_status("mapping", 40)
    lab.expect(found["port"] >= 49152 and lab.mapped() == [found["port"]], "another port")
    process = lab.world.running["portmap"]
    lab.world.signal("portmap", signal.SIGTERM)
    lab.wait("the end of the keeper", lambda: process.poll() is not None, 8)
    lab.expect(not lab.mapped() and "192.168.77.99" in lab.leased(), "only the other's mapping is left")
    return f"port {found['port']}"


def denied(lab):
    """the router's owner allows none"""
    # By UPnP: to a request of PCP that it does not allow, miniupnpd 2.3.1 tries every other port, a minute of processor time.
    lab.upnpd(natpmp=False, permit="deny 0-65535 192.168.77.0/24 0-65535")
    lab.keep()
    refused = lab.wait_status("refused", 40)
    lab.expect(not lab.mapped() and "UPnP" in refused["why"], "no mapping, and the router's words")
    lab.world.signal("portmap", signal.SIGTERM)
    lab.wait("the end of the keeper", lambda: lab.world.running["portmap"].poll() is not None, 8)
    return refused["why"]


def no_router(lab):
    """no port of the router answers"""
    lab.keep()
    refused = lab.wait_status("refused", 40)
    return refused["why"]


def restarted(lab):
    """miniupnpd starts anew without its rules: it says so, and is asked again"""
    lab.upnpd()
    lab.keep()
    lab.expect_mapping("PCP")
    # Its count of seconds has to be far enough to go back.
    time.sleep(5)
    began = time.monotonic()
    lab.upnpd()
    lab.expect(not lab.mapped(), "a router without rules")
    lab.wait("the rule again", lambda: lab.mapped() == [EXTERNAL], 60)
    took = time.monotonic() - began
    lab.terminate()
    return f"again after {took:.0f} s"


def renewed(lab):
    """leases of two minutes are renewed"""
    lab.upnpd(more="min_lifetime=60\nmax_lifetime=120\n")
    lab.keep()
    lab.expect_mapping("PCP")
    first, began = lab.last()["expires_ms"], time.monotonic()
    lab.wait("the renewal", lambda: lab.last().get("expires_ms", 0) > first, 80)
    took = time.monotonic() - began
    lab.expect(lab.mapped() == [EXTERNAL], "one mapping")
    lab.terminate()
    return f"renewed after {took:.0f} s"


def killed(lab):
    """a keeper that dies leaves nothing for longer than its lease"""
    lab.upnpd(more="min_lifetime=10\nmax_lifetime=20\n")
    lab.keep()
    lab.expect_mapping("PCP")
    lab.world.stop("portmap")
    lab.expect(lab.mapped() == [EXTERNAL], "a mapping left behind")
    began = time.monotonic()
    lab.wait("the end of the lease", lambda: not lab.mapped(), 60)
    return f"gone after {time.monotonic() - began:.0f} s"


CASES = {case.__name__: case for case in (pcp, nat_pmp, upnp, taken, denied, no_router, restarted, renewed, killed)}


def one(name, number):
    began, lab, error, said = time.monotonic(), None, None, ""
    try:
        lab = Lab(name, number)
        said = CASES[name](lab) or ""
    except Exception as caught:  # whatever it is, it is this case's failure
        error = str(caught) if isinstance(caught, Failed) else f"{type(caught).__name__}: {caught}"
        if lab:
            (lab.world.where / "failure.txt").write_text(traceback.format_exc())
    finally:
        if lab:
            lab.world.close(keep=error is not None)
    return error, said, time.monotonic() - began


def main():
    wanted = sys.argv[1:] or list(CASES)
    if unknown := [name for name in wanted if name not in CASES]:
        sys.exit(f"lab-portmap: no case {' '.join(unknown)}; there are {' '.join(CASES)}")
    failed = 0
    with concurrent.futures.ProcessPoolExecutor(len(wanted)) as pool:
        jobs = {pool.submit(one, name, number): name for number, name in enumerate(wanted)}
        for job in concurrent.futures.as_completed(jobs):
            name, (error, said, took) = jobs[job], job.result()
            failed += error is not None
            print(f"{'ok  ' if error is None else 'FAIL'} {name:10} {took:5.1f} s  {CASES[name].__doc__}{'; ' * bool(said)}{said}", flush=True)
            if error is not None:
                print(f"     {error}\n     logs are in target/lab-portmap/{name}", flush=True)
    print(f"{len(wanted) - failed} of {len(wanted)} cases passed", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
