"""The programs that are compared: how each is installed, what of it runs on the NAS and what in the internet, and how to see that
it is usable. A peer is used as its own documents say; where people commonly change a setting there is a second one."""
import getpass
import re
import shutil
import subprocess
import sys
from pathlib import Path

from namespaces import TOP
from world import BINARY, NAME, PORT, run

from others import RATHOLE, RATHOLE_BINARY, TOOLS, install, install_rathole
from probes import ECHO_PORT, FORWARDED_PORT, PLAIN_PORT, Echoes, Messages

HERE = Path(__file__).resolve().parent
PAHO = "2.2.0"


def packages(*names):
    install(TOP / "scripts/install-deps", *names)


def first_line(*words):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.splitlines()[0].strip()


class Peer:
    """`name` is its column; `how` the settings that matter, for the document. `server` and `program` are what it is called among
    the programs of a world: in the internet and on the NAS."""
    name, how, server, program, port = "", "", "server", "peer", 0
    # Where its old connection is dead for sure, it is not asked before it has a new one.
    shy = False

    def install(self):
        """So that it can run, or Missing."""

    def version(self):
        raise NotImplementedError

    def serve(self, w):
        """Starts the server at w.address; returns when it listens."""
        raise NotImplementedError

    def start(self, w):
        """Starts the program on the NAS."""
        raise NotImplementedError

    def probe(self, w):
        raise NotImplementedError

    def connections(self, w):
        """Those that the NAS has to the server: both ends (proc_net_tcp(5))."""
        lines = [line.split() for line in Path(f"/proc/{w.running[self.program].pid}/net/tcp").read_text().splitlines()[1:]]
        return {f"{at} {to}" for _, at, to, state, *_ in lines if state == "01" and int(to.split(":")[1], 16) == self.port}

    def ended(self, w):
        """Its exit code if it has given up."""
        return w.running[self.program].poll()


# ---- over the broker ----


class OverBroker(Peer):
    server, port = "broker", PORT

    def serve(self, w):
        w.more = f"listener {PLAIN_PORT} 127.0.0.1"
        w.broker()

    def password(self, w):
        return (w.where / "broker/nas.password").read_text().strip()


class Moorline(OverBroker):
    program = "agent"

    def __init__(self, name, pace, how):
        self.name, self.pace, self.how = name, pace, how

    def version(self):
        commit = run("git", "-C", TOP, "describe", "--always", "--dirty", "--", check=False).strip()
        return first_line(BINARY, "--version") + (f" ({commit})" if commit else "")

    def start(self, w):
        if self.pace is not None:
            w.pace = self.pace
        w.start_agent()

    def probe(self, w):
        """It counts a message in its mailbox before it finds that it is nonsense; which one it was is not told: the last ones."""
        seen = w.get("/v1/cloud")["counters"]["messages_received"]

        def arrived(_, numbers):
            nonlocal seen
            try:
                cloud = w.get("/v1/cloud")
            except OSError:
                return []
            new, seen = cloud["counters"]["messages_received"] - seen, cloud["counters"]["messages_received"]
            return numbers[-new:] if cloud["online"] and new > 0 else []
        return Messages(w, f"moorline/n/{w.get('/v1/status')['nas']['id']}/knock", self.password(w), arrived)


class Subscriber(OverBroker):
    """One that prints the messages it gets."""
    topic = "moorline/n/bench/inbox"

    def probe(self, w):
        def arrived(word, numbers):
            lines = set((w.where / "peer.log").read_text().split("\n"))
            return [n for n in numbers if f"{word}-{n}" in lines]
        return Messages(w, self.topic, self.password(w), arrived)


class MosquittoSub(Subscriber):
    def __init__(self, name, loop, how):
        self.name, self.loop, self.how = name, loop, how

    def install(self):
        packages("mosquitto_sub")

    def version(self):
        return next(line for line in run("mosquitto_sub", "--help", check=False).splitlines() if "version" in line).split(" running")[0]

    def start(self, w):
        words = ["mosquitto_sub", "-h", NAME, "-p", PORT, "--cafile", w.where / "broker/ca.pem", "-u", "nas", "-P", self.password(w), "-t", self.topic, "-k", 10]
        if self.loop:
            words = ["bash", "-c", f"while true; do {' '.join(map(str, words))}; sleep 5; done"]
        w.launch(self.program, w.nas, *words)


class Paho(Subscriber):
    name, how = "paho-mqtt", "`loop_forever()`, keepalive 10 s, `reconnect_delay` as it comes (1 s doubling to 120 s)"
    python = TOOLS / "paho/bin/python"

    def install(self):
        if not self.python.exists():
            install(sys.executable, "-m", "venv", TOOLS / "paho")
        if run(self.python, "-c", "import importlib.metadata as m; print(m.version('paho-mqtt'))", check=False).strip() != PAHO:
            install(self.python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"paho-mqtt=={PAHO}")

    def version(self):
        return f"paho-mqtt {PAHO}, Python {sys.version.split()[0]}"

    def start(self, w):
        w.launch(self.program, w.nas, self.python, "-u", HERE / "subscriber.py", NAME, PORT, w.where / "broker", self.topic)


# ---- tunnels ----


class Tunnel(Peer):
    """One that leads a port in the internet to a port of the NAS, where something echoes."""

    # sshd (9.2) does not look whether its client is there while somebody knocks at the forwarded port.
    shy = True

    def start(self, w):
        w.launch("echo", w.nas, "python3", HERE / "echo.py", ECHO_PORT)
        w.wait_port(w.nas, "127.0.0.1", ECHO_PORT)
        w.launch(self.program, w.nas, *self.client(w), environment=self.environment)

    environment = None

    def client(self, w):
        raise NotImplementedError

    def probe(self, w):
        return Echoes(w)


class Ssh(Tunnel):
    port = 2222
    # Otherwise a first connection that is lost within 30 s ends autossh.
    environment = {"AUTOSSH_GATETIME": "0"}

    def __init__(self, name, options, server_options, how):
        self.name, self.options, self.server_options, self.how = name, options, server_options, how

    def install(self):
        packages("autossh", "openssh-client", "openssh-server")

    def version(self):
        return f"{first_line('autossh', '-V')}, {first_line('ssh', '-V').split(',')[0]}"

    def serve(self, w):
        if not (w.where / "host").exists():
            for key in ("host", "user"):
                run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", w.where / key)
            (w.where / "known_hosts").write_text(f"[{NAME}]:{self.port} {(w.where / 'host.pub').read_text()}")
        lines = [f"Port {self.port}", f"ListenAddress {w.address}", f"HostKey {w.where}/host", f"AuthorizedKeysFile {w.where}/user.pub", "PidFile none", "StrictModes no", "UsePAM no",
                 "PermitRootLogin prohibit-password", "PasswordAuthentication no", *self.server_options]
        (w.where / "sshd_config").write_text("\n".join(lines) + "\n")
        # Where it locks up the part that strangers talk to.
        Path("/run/sshd").mkdir(exist_ok=True)
        w.launch(self.server, w.net, shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", w.where / "sshd_config")
        w.wait_port(w.net, w.address, self.port)

    def client(self, w):
        options = [f"UserKnownHostsFile={w.where}/known_hosts", "BatchMode=yes", "ExitOnForwardFailure=yes", *self.options]
        return ["autossh", "-M", "0", "-N", "-F", "none", "-i", w.where / "user", "-p", self.port, *(f"-o{o}" for o in options), "-R", f"{FORWARDED_PORT}:127.0.0.1:{ECHO_PORT}",
                f"{getpass.getuser()}@{NAME}"]


class Rathole(Tunnel):
    name, port = "rathole", 2333
    how = "Noise transport, heartbeat and retries as they come (the server says a word every 30 s, the client misses it after 40 s and tries again every second)"
    binary = RATHOLE_BINARY

    def install(self):
        install_rathole()

    def version(self):
        return f"rathole {RATHOLE}"

    def serve(self, w):
        if not (w.where / "keys").exists():
            (w.where / "keys").write_text(run(self.binary, "--genkey"))
        self.configure(w, "server", f'bind_addr = "{w.address}:{self.port}"', f'local_private_key = "{self.keys(w)[0]}"', f'bind_addr = "127.0.0.1:{FORWARDED_PORT}"')
        w.launch(self.server, w.net, self.binary, "--server", w.where / "server.toml")
        w.wait_port(w.net, w.address, self.port)

    def client(self, w):
        self.configure(w, "client", f'remote_addr = "{NAME}:{self.port}"', f'remote_public_key = "{self.keys(w)[1]}"', f'local_addr = "127.0.0.1:{ECHO_PORT}"')
        return [self.binary, "--client", w.where / "client.toml"]

    @staticmethod
    def keys(w):
        """The server's private one and its public one."""
        return re.findall(r"^[A-Za-z0-9+/]{43}=$", (w.where / "keys").read_text(), re.M)

    @staticmethod
    def configure(w, side, where, key, service):
        (w.where / f"{side}.toml").write_text(f'[{side}]\n{where}\ndefault_token = "bench"\n[{side}.transport]\ntype = "noise"\n[{side}.transport.noise]\n{key}\n'
                                              f"[{side}.services.echo]\n{service}\n")


ALL = [
    Moorline("moorline", None, "keepalive 10 s, spread 2 s, largest back-off window 8 s, as in the fault lab"),
    Moorline("moorline-defaults", "", "keepalive 60 s, spread 10 s, largest back-off window 300 s"),
    Ssh("autossh", ["ServerAliveInterval=30", "ServerAliveCountMax=3"], [], "`-M 0 -N -R`, `ServerAliveInterval=30 ServerAliveCountMax=3 ExitOnForwardFailure=yes`, `AUTOSSH_GATETIME=0`; sshd as it comes"),
    Ssh("autossh-tuned", ["ServerAliveInterval=10", "ServerAliveCountMax=1", "ConnectTimeout=10"], ["ClientAliveInterval 10", "ClientAliveCountMax 1"],
        "the same with `ServerAliveInterval=10 ServerAliveCountMax=1 ConnectTimeout=10`, and `ClientAliveInterval 10`, `ClientAliveCountMax 1` for sshd"),
    Rathole(),
    MosquittoSub("mosquitto_sub", False, "keepalive 10 s (`-k 10`)"),
    MosquittoSub("mosquitto_sub-loop", True, "the same within `while true; do …; sleep 5; done`"),
    Paho(),
]
PEERS = {peer.name: peer for peer in ALL}
