"""QEMU killed at a random moment of a pairing storm, again and again, on flash that loses what was not synced."""
import concurrent.futures
import random
import threading
import time

from .. import flash
from ..bench import expect
from ..machine import Failed
from ..volatile import VolatileDisk

STORE = "records_per_day = 1000000"
# Entries that are many.
CROWD = 25
# Phones that pair at the same time.
PHONES = 3


class Books:
    """What the agent has acknowledged of each entry, and what was asked of it when the power went."""

    def __init__(self):
        self.entries, self.minting, self.acknowledged = {}, 0, 0

    def allowed(self, device):
        """States that the entry may be in after a cut; None: not there."""
        entry = self.entries[device]
        if entry == "purged":
            return {None}
        if entry in ("removed", "purging"):
            return {"revoked", None}
        if entry == "removing":
            return {"pending", "paired", "revoked", None}
        # A phone that was cut off may have been paired without hearing of it.
        return {"pending": {"pending", "paired"}, "paired": {"paired"}}[entry]

    def check(self, found):
        """Compares with what is there; then believes what is there."""
        for device in self.entries:
            state = found.get(device)
            expect(state in self.allowed(device), f"{device} was acknowledged as {self.entries[device]} and is {state or 'lost'}")
        strangers = [d for d in found if d not in self.entries]
        expect(len(strangers) <= self.minting, f"nobody asked for {strangers}")
        self.minting = 0
        self.entries = {d: {"revoked": "removed"}.get(s, s) for d, s in found.items()}


class Storm:
    """Codes, pairings and removals as fast as they go, until the power goes."""

    def __init__(self, bench, books, seed):
        self.bench, self.books, self.random = bench, books, random.Random(seed)
        self.console, self.over = threading.Lock(), False

    def ask(self, line):
        """One command in the guest; None once the power is gone."""
        with self.console:
            if self.over:
                return None
            try:
                return self.bench.machine.cli(line)
            except (Failed, OSError, ValueError):
                if not self.over:
                    raise
                return None

    def phone(self, name):
        books = self.books
        while not self.over:
            # Rounds that ended early have left more than they took.
            crowded = self.crowded()
            if crowded and not self.clear(2, None, crowded):
                return
            books.minting += 1
            code = self.ask(f"code {name} --keep-others")
            if code is None:
                return
            device = code["device_id"]
            books.entries[device] = "pending"
            books.minting -= 1
            books.acknowledged += 1
            ended, _ = self.bench.pair(code["code"], timeout=2)
            # Whether it heard the answer before the power went is in the exit code all the same. Another thread may have removed
            # the entry meanwhile.
            with self.console:
                if ended == 0:
                    books.acknowledged += 1
                    if books.entries[device] == "pending":
                        books.entries[device] = "paired"
            if self.over:
                return
            # Some stay, so that the next boots have something to lose.
            if self.random.random() < 0.6 and not self.clear(1, device, False):
                return

    def crowded(self):
        """Whether many of the 64 places are taken."""
        return sum(state != "purged" for state in list(self.books.entries.values())) > CROWD

    def clear(self, count, device, wholly):
        """Removes so many entries, or this device by half; False once the power is gone."""
        entries = self.books.entries
        for _ in range(count):
            with self.console:
                free = [d for d, s in entries.items() if s in ("pending", "paired", "removed")]
                if not free:
                    return True
                old = device if device in free and self.random.random() < 0.5 else self.random.choice(free)
                entries[old] = "purging" if entries[old] == "removed" else "removing"
            if not self.remove(old, wholly):
                return False
        return True

    def remove(self, device, wholly):
        """Removes an entry; False once the power is gone. The second removal does not wait for the phone; some stay revoked, so
        that a cut has them to bring back."""
        books = self.books
        while True:
            again = books.entries[device] == "purging"
            try:
                answer = self.ask(f"remove {device}")
            except Failed as refused:
                # Told meanwhile, and gone by itself.
                if not again or "device-unknown" not in str(refused):
                    raise
                answer = {"queued": []}
            if answer is None:
                return False
            books.acknowledged += 1
            # One that was never used has nobody to tell.
            if again or not answer["queued"]:
                books.entries[device] = "purged"
                return True
            if not wholly and self.random.random() < 0.3:
                books.entries[device] = "removed"
                return True
            books.entries[device] = "purging"

    def run(self, seconds):
        with concurrent.futures.ThreadPoolExecutor(PHONES) as pool:
            jobs = [pool.submit(self.phone, name) for name in ("anna", "bert", "carl")[:PHONES]]
            end = time.monotonic() + seconds
            while time.monotonic() < end and not any(j.done() for j in jobs):
                time.sleep(0.002)
            self.over = True
            self.bench.machine.power_cut()
            for job in jobs:
                job.result()


def cuts(kind, few, many):
    """A case: so many cuts with the state on this file system."""

    def case(bench):
        count, seed = many if bench.long else few, random.SystemRandom().randrange(1 << 30)
        bench.say(f"seed {seed}")
        chance, books, dropped = random.Random(seed), Books(), 0
        bench.net.all()
        initrd = bench.initrd(store=flash.store(kind, STORE))
        nas, states = None, 0
        for number in range(count + 1):
            machine, disk = start(bench, kind, initrd, seed + number)
            status = machine.cli("status")
            expect(status["store"]["state"] == "ok", f"cut {number}: the store is {status['store']['state']}")
            if kind in flash.PLACES:
                expect(status["store"]["place"] == flash.PLACES[kind].place, f"the store is at {status['store']['place']}")
            expect(nas in (None, status["nas"]["id"]), f"cut {number}: another identity")
            nas = status["nas"]["id"]
            found = {d["id"]: d["state"] for d in machine.cli("devices")["devices"]}
            try:
                books.check(found)
            except Failed as error:
                raise Failed(f"cut {number} of seed {seed}: {error}") from error
            states += len(found)
            if number == count:
                break
            if number == 0:
                for user in ("anna", "bert", "carl"):
                    machine.sh(f"moorline users add {user}")
            machine.online()
            Storm(bench, books, seed + number).run(chance.uniform(0.1, 2.5))
            machine.close()
            if disk:
                disk.power_cut()
                dropped += disk.dropped
        machine.close()
        bench.say(f"{count} cuts, {books.acknowledged} changes acknowledged, {states} entries compared, 0 lost"
                  + (f"; {dropped} unflushed sectors dropped" if kind == "ext4" else ""))

    case.__doc__ = f"power cuts in a pairing storm, the store on {kind}: nothing acknowledged is lost, nothing removed comes back"
    return case


def start(bench, kind, initrd, seed, options=""):
    """The machine after a cut, and its volatile disk if it has one."""
    if kind != "ext4":
        return flash.boot(bench, kind, initrd=initrd).ready(), None
    path = bench.where / "nbd"
    disk = VolatileDisk(path, bench.ext4(), seed)
    words = ["-blockdev", f"driver=nbd,node-name=state,server.type=unix,server.path={path}",
             "-device", "virtio-blk-pci,drive=state,addr=0x7,write-cache=on"]
    return bench.boot(initrd=initrd, words=words, append=f"moorline.state=ext4:/dev/vda {options}").ready(), disk


def control(bench):
    """the same cuts on ext4 without barriers must lose something, or the others show nothing"""
    seed = random.SystemRandom().randrange(1 << 30)
    bench.net.all()
    initrd = bench.initrd(store=STORE)
    books = Books()
    for number in range(6):
        try:
            machine, disk = start(bench, "ext4", initrd, seed + number, "moorline.state_options=barrier=0")
            expect(machine.try_sh("mount | grep -q /var/lib/moorline")[0] == 0, "the file system does not mount")
            expect(machine.cli("status")["store"]["state"] == "ok", "the store is corrupt")
            books.check({d["id"]: d["state"] for d in machine.cli("devices")["devices"]})
            for user in ("anna", "bert", "carl"):
                machine.sh(f"moorline users add {user} || true")
        except Failed as loss:
            expect(number > 0, f"before any cut: {loss}")
            bench.say(f"seed {seed}, cut {number}: {loss}")
            return
        machine.online()
        Storm(bench, books, seed + number).run(2)
        machine.close()
        disk.power_cut()
    raise Failed("nothing was lost although nothing was flushed")
