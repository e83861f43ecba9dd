"""What is compared: how each is installed and started, which programs of it run at the NAS's end and at the device's, and where the
device connects to. Settings as their own documents have them."""
import getpass
import re
import shutil
import subprocess

from house import CLIENT, TOP, has_paths
from others import RATHOLE, RATHOLE_BINARY, Missing, install, install_rathole

# Of the service at the NAS, and of what the device connects to.
SERVICE, LOCAL = 7001, 7002


def told(*words):
    return subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.strip()


class Peer:
    """`ends`: the names of its programs at the NAS, at the device, and between."""
    name, how, ends, encrypted = "", "", ((), (), ()), True

    def install(self):
        """So that it can run, or Missing."""

    def version(self):
        return ""

    def start(self, house):
        """Returns where the device connects to."""
        raise NotImplementedError


class Bare(Peer):
    name, how, encrypted = "bare TCP", "the transfer program straight to the server", False

    def start(self, house):
        return house.at, SERVICE


class Moorline(Peer):
    def __init__(self, path):
        self.path, self.name = path, f"moorline, {path}"
        self.how = {"lan": "`forward --at`: TLS 1.3 and yamux", "broker": "`forward --path broker`: the same in MQTT through Mosquitto with TLS"}[path]
        self.ends = (("agent",), ("client",), ("broker",) if path == "broker" else ())

    def install(self):
        if self.path != "lan" and not has_paths():
            raise Missing("not there yet")

    def version(self):
        commit = told("git", "-C", TOP, "describe", "--always", "--dirty")
        return told(CLIENT, "--version").splitlines()[0].replace("moorline-client", "moorline") + (f" ({commit})" if commit else "")

    def start(self, house):
        house.start_broker()
        house.start_agent()
        house.pair()
        return house.forward("data", self.path, listen=f"127.0.0.1:{LOCAL}")


class Ssh(Peer):
    def __init__(self, way):
        self.way, self.name = way, f"ssh -{way}"
        self.how = "sshd at the NAS, ssh at the device" if way == "L" else "ssh at the NAS, sshd beside the device, which goes there in the clear"
        self.ends = (("sshd",), ("ssh",), ()) if way == "L" else (("ssh",), ("sshd",), ())

    def install(self):
        install(TOP / "scripts/install-deps", "openssh-client", "openssh-server")

    def version(self):
        return told("ssh", "-V").split(",")[0]

    def start(self, house):
        there, here, address = (house.nas, house.device, house.at) if self.way == "L" else (house.device, house.nas, house.broker_at)
        port = 2222
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", house.where / key], check=True)
        (house.where / "known_hosts").write_text(f"[{address}]:{port} {(house.where / 'host.pub').read_text()}")
        lines = [f"Port {port}", f"ListenAddress {address}", f"HostKey {house.where}/host", f"AuthorizedKeysFile {house.where}/user.pub", "PidFile none", "StrictModes no", "UsePAM no",
                 "PermitRootLogin prohibit-password", "PasswordAuthentication no"]
        (house.where / "sshd_config").write_text("\n".join(lines) + "\n")
        # Where it locks up the part that strangers talk to.
        install("mkdir", "-p", "/run/sshd")
        house.launch("sshd", there, shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", house.where / "sshd_config")
        house.wait_port(there, address, port)
        options = [f"-oUserKnownHostsFile={house.where}/known_hosts", "-oBatchMode=yes", "-oExitOnForwardFailure=yes"]
        house.launch("ssh", here, "ssh", "-N", "-F", "none", "-i", house.where / "user", "-p", port, *options, f"-{self.way}", f"127.0.0.1:{LOCAL}:127.0.0.1:{SERVICE}",
                     f"{getpass.getuser()}@{address}")
        house.wait_port(house.device, "127.0.0.1", LOCAL)
        return "127.0.0.1", LOCAL


class Rathole(Peer):
    name, how, ends = "rathole", "Noise; its client at the NAS, its server beside the device, which goes there in the clear", (("client",), ("server",), ())
    binary = RATHOLE_BINARY

    def install(self):
        install_rathole()

    def version(self):
        return RATHOLE

    def start(self, house):
        secret, public = re.findall(r"^[A-Za-z0-9+/]{43}=$", told(self.binary, "--genkey"), re.M)
        port = 2333
        for side, where, key, service in (("server", f'bind_addr = "{house.broker_at}:{port}"', f'local_private_key = "{secret}"', f'bind_addr = "127.0.0.1:{LOCAL}"'),
                                          ("client", f'remote_addr = "{house.broker_at}:{port}"', f'remote_public_key = "{public}"', f'local_addr = "127.0.0.1:{SERVICE}"')):
            (house.where / f"{side}.toml").write_text(f'[{side}]\n{where}\ndefault_token = "bench"\n[{side}.transport]\ntype = "noise"\n[{side}.transport.noise]\n{key}\n'
                                                      f"[{side}.services.data]\n{service}\n")
        house.launch("server", house.device, self.binary, "--server", house.where / "server.toml")
        house.wait_port(house.device, house.broker_at, port)
        house.launch("client", house.nas, self.binary, "--client", house.where / "client.toml")
        house.wait_port(house.device, "127.0.0.1", LOCAL)
        return "127.0.0.1", LOCAL


class Stunnel(Peer):
    name, how, ends = "stunnel", "TLS 1.3, a certificate at both ends; one TLS connection for each TCP connection", (("server",), ("client",), ())

    def install(self):
        install(TOP / "scripts/install-deps", "stunnel4")

    def version(self):
        return next((line for line in told("stunnel4", "-version").splitlines() if "stunnel" in line), "stunnel").split(" on ")[0].split("] ")[-1]

    def start(self, house):
        port = 2444
        for side in ("server", "client"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "30", "-subj", f"/CN={side}", "-keyout", house.where / f"{side}.key", "-out", house.where / f"{side}.pem"],
                           check=True, stderr=subprocess.DEVNULL)
        for side, other, more in (("server", "client", f"accept = {house.at}:{port}\nconnect = 127.0.0.1:{SERVICE}"),
                                  ("client", "server", f"client = yes\naccept = 127.0.0.1:{LOCAL}\nconnect = {house.at}:{port}")):
            (house.where / f"{side}.conf").write_text(f"foreground = yes\npid =\n[data]\n{more}\ncert = {house.where}/{side}.pem\nkey = {house.where}/{side}.key\n"
                                                      f"CAfile = {house.where}/{other}.pem\nverifyPeer = yes\nsslVersion = TLSv1.3\n")
            house.launch(side, house.nas if side == "server" else house.device, "stunnel4", house.where / f"{side}.conf")
        house.wait_port(house.nas, house.at, port)
        house.wait_port(house.device, "127.0.0.1", LOCAL)
        return "127.0.0.1", LOCAL


ALL = [Bare(), Moorline("lan"), Moorline("broker"), Ssh("L"), Ssh("R"), Rathole(), Stunnel()]
PEERS = {peer.name: peer for peer in ALL}
