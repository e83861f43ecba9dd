"""A NAS with services, a Mosquitto and paired devices, as programs: what scripts/lab-webdav, scripts/lab-web, scripts/soak-remote
and scripts/bench remote have in common. On loopback, or each in a network namespace."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from namespaces import TOP, Call, Programs, die_with_parent, tree  # noqa: E402

BIN = Path(os.environ.get("MOORLINE_BIN", TOP / "target/release")).resolve()
CLIENT = BIN / "moorline-client"
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    pass


def free_port():
    """One that nobody listens on now. Another program may take it meanwhile; then what wanted it says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def has_paths():
    """Whether this client can be told which way to go."""
    return "--path" in subprocess.run([CLIENT, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout


def status(pid, *keys):
    """Numbers of /proc/PID/status: KiB, or plain."""
    text = Path(f"/proc/{pid}/status").read_text()
    return [int(text.split(f"{key}:")[1].split()[0]) for key in keys]


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def processor_seconds(pid):
    """Of the process, of its children that have ended, and of those that run."""
    total = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        # utime, stime, cutime, cstime: fields 14 to 17 of proc_pid_stat(5).
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def peak_kib(pid):
    """The most that it and its children have been resident with, each by itself."""
    total = 0
    for each in tree(pid):
        try:
            total += status(each, "VmHWM")[0]
        except (OSError, IndexError):
            pass  # It ended, or has none.
    return total


class House(Programs):
    """`nas` and `device`: their network namespaces, or None for the host's. `at`: the NAS's address for the device; `broker`: the
    broker's for both, which runs beside the device."""

    def __init__(self, where, services, nas=None, device=None, at="127.0.0.1", broker="127.0.0.1"):
        super().__init__(where)
        shutil.rmtree(self.where, ignore_errors=True)
        self.where.mkdir(parents=True)
        self.services, self.nas, self.device, self.at, self.broker_at = services, nas, device, at, broker
        self.port, self.door = free_port(), free_port()

    @staticmethod
    def within(host, *words):
        return Programs.within(host, *words) if host else [str(w) for w in words]

    def pid(self, what):
        return self.running[what].pid

    # ---- broker and agent ----

    def start_broker(self):
        again = 'while setpriv --pdeathsig KILL "$@"; [ -e "$0" ]; do sleep 1; done'
        self.launch("broker", self.device, "bash", "-c", again, self.where, TOP / "scripts/broker", self.where / "broker", self.port, "--run",
                    environment={"MOORLINE_BROKER": f"localhost:{self.broker_at}"})
        self.wait_port(self.device, self.broker_at, self.port)

    def restart_broker(self):
        """Ends it by its process id; what has started it starts it again after a second. (A program that a thread starts ends with the thread.)"""
        for pid in tree(self.pid("broker"))[1:]:
            os.kill(pid, signal.SIGKILL)

    def start_agent(self):
        services = "".join(f'[[service]]\nname = "{name}"\naddress = "127.0.0.1:{port}"\n' for name, port in self.services.items())
        (self.where / "agent.toml").write_text(f"""[nas]
name = "Remote NAS"
[cloud]
broker = "mqtts://{self.broker_at}:{self.port}"
ca_file = "{self.where}/broker/ca.pem"
user = "nas"
password_file = "{self.where}/broker/nas.password"
reconnect_spread_s = 1
backoff_max_s = 2
[cloud.device_access]
user = "device"
password_file = "{self.where}/broker/device.password"
[store]
dir = "{self.where}/store"
[control]
socket = "{self.where}/control.sock"
[clock]
trust = "system"
[remote]
port = {self.door}
announce = false
map_port = false
{services}""")
        subprocess.run([TOP / "scripts/sim-nas", self.where / "nas", "healthy"], check=True)
        self.launch("agent", self.nas, BIN / "moorline", "agent", "--config", self.where / "agent.toml", "--root", self.where / "nas")
        self.wait("the session is online", self.is_online)

    def call(self, method, path, body=None):
        connection = Call(self.where / "control.sock", 25)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise Failed(f"{method} {path}: {text[:300]}")
        return json.loads(text)

    def is_online(self):
        try:
            return self.call("GET", "/v1/cloud")["online"]
        except OSError:
            return False

    def wait(self, what, holds, patience=30):
        end = time.monotonic() + patience
        while not holds():
            if time.monotonic() > end:
                raise Failed(f"not within {patience} s: {what}; the logs are in {self.where.relative_to(TOP)}")
            time.sleep(0.05)

    # ---- the devices ----
    # Each keeps its own state: `who`.

    def client(self, *words, who="device"):
        return self.within(self.device, CLIENT, *words, "--state", self.where / who)

    def pair(self, who="device"):
        self.call("PUT", "/v1/users/anna", {})
        code = self.call("POST", "/v1/codes", {"user": "anna"})["code"]
        done = subprocess.run(self.client("pair", code, "--broker", f"mqtts://{self.broker_at}:{self.port}", "--ca", self.where / "broker/ca.pem", "--user", "pairing",
                                          "--password-file", self.where / "broker/pairing.password", "--timeout", 30, who=who), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise Failed(f"pairing: {done.stdout}")

    def way(self, path):
        """What the client is told so that it goes this way."""
        return ["--at", f"{self.at}:{self.door}"] if path == "lan" else ["--path", path]

    def forward(self, service, path, what="client", listen="127.0.0.1:0", who="device"):
        """Starts a forward; its local address (host, port)."""
        log = open(self.where / f"{what}.log", "ab")
        self.running[what] = subprocess.Popen(self.client("forward", service, "--listen", listen, "--json", *self.way(path), who=who), stdin=subprocess.DEVNULL,
                                              stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=die_with_parent)
        line = self.running[what].stdout.readline()
        try:
            host, port = json.loads(line)["listening"].rsplit(":", 1)
        except (ValueError, KeyError) as error:
            raise Failed(f"forward {service}: {line!r} {(self.where / f'{what}.log').read_text()[-300:]}") from error
        return host, int(port)

    def close(self, keep):
        self.stop_all()
        if not keep:
            shutil.rmtree(self.where, ignore_errors=True)


def lighttpd(house, root, service, more=""):
    """Serves a folder of the house's own, with WebDAV, as a service."""
    where, port = house.where, house.services[service]
    (where / "lighttpd.conf").write_text(f'''server.document-root = "{where / root}"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ("mod_webdav")
server.upload-dirs = ("{where}/uploads")
server.errorlog = "{where}/lighttpd.log"
server.max-request-size = 0
{more}webdav.activate = "enable"
webdav.is-readonly = "disable"
''')
    house.launch("lighttpd", None, "lighttpd", "-D", "-f", where / "lighttpd.conf")
    house.wait_port(None, "127.0.0.1", port)


def tried(house, trial, name):
    """Carries out a lab's trial. What went wrong is told in one line, and its logs are kept."""
    kept = True
    try:
        trial()
        kept = False
    except (Failed, OSError, subprocess.SubprocessError) as why:
        print(f"FAIL {name}: {why}; the logs are in {house.where.relative_to(TOP)}", flush=True)
        sys.exit(1)
    finally:
        house.close(keep=kept)
