"""One QEMU: its console as a shell of the guest, its QMP, and its end."""
import json
import re
import socket
import subprocess
import time
from pathlib import Path

from firmware import board

from namespaces import die_with_parent

PROMPT = b"/ # "
# The console becomes a loop that runs one line and says how it ended.
LOOP = ("exec sh -c 'stty -echo -onlcr; dmesg -n 1; echo; echo @@ready; while read -r line; do eval \"$line\" </dev/null; "
        "printf \"\\n@@%s\\n\" $?; done'\n")


class Failed(Exception):
    """What a case expected and did not find."""


class Machine:
    def __init__(self, isa, where, net, kernel, initrd, words=(), dtb=None, append="", rtc=None, link=True, evb=False):
        self.isa, self.where, self.net = isa, Path(where), net
        self.buffer, self.qmp_file, self.qtest_file, self.events = b"", None, None, []
        command, environment = board.command(isa)
        console = "ttyAMA0"
        if evb:
            # An AST2600 evaluation board, ARMv7: no PCI, an Ethernet MAC and SPI flash of its own.
            for option, value in (("-M", "ast2600-evb"), ("-cpu", "cortex-a7"), ("-m", "1G"), ("-smp", "2")):
                command[command.index(option) + 1] = value
            console = "ttyS4,115200n8 vmalloc=640M"
        command += ["-display", "none", "-monitor", "none", "-kernel", kernel, "-initrd", initrd,
                    "-serial", f"unix:{self.where}/console,server=on,wait=off", "-qmp", f"unix:{self.where}/qmp,server=on,wait=off",
                    "-append", f"console={console} loglevel=4 panic=-1 {append}".strip()]
        command += ["-dtb", dtb, "-qtest", f"unix:{self.where}/qtest,server=on,wait=off", "-qtest-log", "/dev/null"]
        if evb:
            command += ["-nic", f"{net.netdev},model=ftgmac100"]
        else:
            command += ["-netdev", f"{net.netdev},id=net", "-device", "virtio-net-pci,netdev=net,id=nic,romfile=,addr=0x3"]
        if rtc:
            command += ["-rtc", f"base={rtc}"]
        for name in ("console", "qmp", "qtest"):
            (self.where / name).unlink(missing_ok=True)
        self.log = open(self.where / "console.log", "ab")
        self.log.write(("\n# " + " ".join(map(str, [*command, *words])) + "\n").encode())
        # Stopped at first, so that the link can be down before the guest looks.
        self.process = subprocess.Popen(net.inside(*command, *words, "-S"), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        env=environment, preexec_fn=die_with_parent)
        self.console = self.connect("console")
        self.qmp("qmp_capabilities")
        if not link:
            self.link(False)
        self.qmp("cont")

    def connect(self, name):
        end = time.monotonic() + 20
        while True:
            try:
                found = socket.socket(socket.AF_UNIX)
                found.connect(str(self.where / name))
                return found
            except OSError as error:
                found.close()
                if self.process.poll() is not None or time.monotonic() > end:
                    raise Failed(f"QEMU does not start; see {self.where}/console.log") from error
                time.sleep(0.02)

    # The console.

    def read_until(self, pattern, patience):
        """What came before the pattern; the match."""
        end = time.monotonic() + patience
        while not (found := re.search(pattern, self.buffer)):
            left = end - time.monotonic()
            if left <= 0:
                raise Failed(f"the guest's console: not within {patience} s: {pattern!r}; last: {self.buffer[-300:]!r}")
            self.console.settimeout(left)
            try:
                more = self.console.recv(65536)
            except TimeoutError:
                continue
            if not more:
                raise Failed(f"QEMU ended: {self.buffer[-300:]!r}")
            self.log.write(more)
            self.log.flush()
            self.buffer += more
        before, self.buffer = self.buffer[:found.start()], self.buffer[found.end():]
        return before, found

    def ready(self, patience=180):
        """Until the boot scripts are through."""
        self.read_until(re.escape(PROMPT), patience)
        self.console.sendall(LOOP.encode())
        self.read_until(rb"\n@@ready\n", patience)
        self.wait("the agent answers", "[ -S /run/moorline/control.sock ]")
        return self

    def try_sh(self, line, patience=60):
        """Exit code and output of one line of shell."""
        if len(line) > 4000:
            raise ValueError("a console line has 4,095 bytes at most")
        self.console.sendall(line.encode() + b"\n")
        before, found = self.read_until(rb"\n@@(\d+)\n", patience)
        return int(found[1]), before.decode("utf-8", "replace").strip("\n")

    def sh(self, line, patience=60):
        code, text = self.try_sh(line, patience)
        if code:
            raise Failed(f"in the guest, `{line}` ended with {code}: {text[-600:]}")
        return text

    def wait(self, what, line, patience=60):
        """Until the line succeeds."""
        end = time.monotonic() + patience
        while True:
            code, text = self.try_sh(line)
            if code == 0:
                return text
            if time.monotonic() > end:
                raise Failed(f"not within {patience} s: {what}; `{line}` says {text[-400:]!r}")
            time.sleep(0.1)

    def uptime(self):
        return float(self.sh("cat /proc/uptime").split()[0])

    def cli(self, words):
        """A command of the agent, as JSON."""
        return json.loads(self.sh(f"moorline {words} --json"))

    def online(self, patience=90):
        self.wait("the session is online", "moorline cloud --json | grep -q '\"online\":true'", patience)

    def agent(self):
        """Process id of the agent, not of a command of the same program."""
        return int(self.sh("for p in $(pidof moorline); do tr '\\0' ' ' </proc/$p/cmdline | grep -q ' agent ' && echo $p; done"))

    # QMP and qtest.

    def qmp(self, command, **arguments):
        if not self.qmp_file:
            self.qmp_file = self.connect("qmp").makefile("rwb")
            self.qmp_file.readline()
        self.qmp_file.write((json.dumps({"execute": command, "arguments": arguments}) + "\n").encode())
        self.qmp_file.flush()
        while line := self.qmp_file.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise Failed(f"QMP {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer["event"])
        raise Failed("QMP ended")

    def link(self, up):
        self.qmp("set_link", name="nic", up=up)

    def unplug(self, device):
        self.qmp("device_del", id=device)

    def plug_disk(self, number):
        self.qmp("device_add", driver="scsi-hd", drive=f"disk{number}", id=f"hd{number}", bus=f"bay{number}.0", serial=f"DISK{number}")

    def gpio(self):
        """The pl061's data register, as a logic analyser at its pins would see it."""
        text = self.qmp("human-monitor-command", **{"command-line": "xp /1wx 0x090303fc"})
        return int(text.split(":")[1], 16) & 0xFF

    def press(self, line, seconds):
        """Holds a button down that is wired to this line of the pl061."""
        if not self.qtest_file:
            self.qtest_file = self.connect("qtest").makefile("rwb")
        chip = next(o["name"] for o in self.qmp("qom-list", path="/machine/unattached") if o["type"] == "child<pl061>")
        for level in (1, 0):
            self.qtest_file.write(f"set_irq_in /machine/unattached/{chip} unnamed-gpio-in {line} {level}\n".encode())
            self.qtest_file.flush()
            while not self.qtest_file.readline().startswith(b"OK"):
                pass
            if level:
                time.sleep(seconds)

    # The end.

    def reboot(self):
        """By the guest's own init; the same QEMU starts anew."""
        self.console.sendall(b"reboot\n")
        self.buffer = b""
        return self.ready()

    def power_cut(self):
        """SIGKILL, at once: what the guest had not brought to its flash is gone."""
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for file in (self.qmp_file, self.qtest_file, self.console, self.log):
            if file:
                file.close()


def last_words(where):
    """The end of a case's console log."""
    file = Path(where) / "console.log"
    return file.read_text(errors="replace")[-1500:] if file.exists() else ""
