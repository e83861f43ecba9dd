"""Is a peer usable? Asked from the internet's side every 50 ms, only from the cure on: a question is traffic, and traffic finds or
mends a broken connection. A peer is usable from the first answer after which every question is answered, for three seconds: some
have a few connections left that still work, and then none."""
import contextlib
import ctypes
import os
import secrets
import selectors
import socket
import time

# Where something echoes on the NAS, where the tunnel shows it in the internet, and where the broker listens for the probe.
ECHO_PORT, FORWARDED_PORT, PLAIN_PORT = 7001, 7000, 1884
EVERY, PATIENCE, STEADY = 0.05, 2, 3
CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def inside(host):
    """Sockets that are made here belong to the namespace (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(path):
        with open(path) as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns {path}")
    with open("/proc/thread-self/ns/net") as ours:
        enter(f"/run/netns/{host}")
        try:
            yield
        finally:
            if libc.setns(ours.fileno(), CLONE_NEWNET):
                os.abort()  # In the wrong namespace nothing that follows is right.


class Probe:
    """Numbered questions. `ask` sends one, `listen` calls `answer` or `failure` for what comes of them until `end`."""

    def __init__(self, w):
        self.w, self.number = w, 0
        # When those were asked that have no answer yet, and the first answer since the last failure: its number and when it came.
        self.open, self.first = {}, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def answer(self, number):
        if self.open.pop(number, None) is not None and self.first is None:
            self.first = (number, time.monotonic())

    def failure(self, number):
        self.open.pop(number, None)
        if self.first and number > self.first[0]:
            self.first = None

    def step(self):
        """One more question and 50 ms of answers; since when the peer is usable, if it is."""
        now = time.monotonic()
        for number in [n for n, asked in self.open.items() if asked < now - PATIENCE]:
            self.forget(number)
            self.failure(number)
        self.number += 1
        self.open[self.number] = now
        self.ask(self.number)
        self.listen(now + EVERY)
        return self.first[1] if self.first and time.monotonic() >= self.first[1] + STEADY else None

    def forget(self, number):
        """It is not waited for any more."""


class Echoes(Probe):
    """Connections to the forwarded port, which have to give their bytes back."""

    def __init__(self, w):
        super().__init__(w)
        self.waiting, self.connections = selectors.DefaultSelector(), {}

    def ask(self, number):
        with inside(self.w.net):
            connection = self.connections[number] = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", FORWARDED_PORT))
        self.waiting.register(connection, selectors.EVENT_WRITE, number)

    def forget(self, number):
        connection = self.connections.pop(number)
        self.waiting.unregister(connection)
        connection.close()

    def ready(self, connection, number, events):
        word = number.to_bytes(8, "big")
        try:
            if events & selectors.EVENT_WRITE:
                connection.send(word)
                self.waiting.modify(connection, selectors.EVENT_READ, number)
                return
            good = connection.recv(100) == word
        except OSError:
            good = False
        self.forget(number)
        (self.answer if good else self.failure)(number)

    def listen(self, end):
        while (left := end - time.monotonic()) > 0:
            for key, events in self.waiting.select(left):
                self.ready(key.fileobj, key.data, events)

    def close(self):
        for number in list(self.connections):
            self.forget(number)
        self.waiting.close()


def text(words):
    return len(words).to_bytes(2, "big") + words


class Messages(Probe):
    """Messages published beside the broker, by a connection that no disturbance touches. `arrived` says which of the open ones
    have come, of all that are open and how their text begins."""

    def __init__(self, w, topic, password, arrived):
        super().__init__(w)
        self.topic, self.password, self.arrived = topic.encode(), password.encode(), arrived
        self.connection, self.word = None, secrets.token_hex(4)

    def connect(self):
        with inside(self.w.net):
            connection = socket.socket()
        connection.settimeout(PATIENCE)
        try:
            connection.connect(("127.0.0.1", PLAIN_PORT))
            # MQTT 3.1.1, a new session without keepalive; user name and password.
            body = text(b"MQTT") + bytes([4, 0xc2, 0, 0]) + text(b"bench-probe") + text(b"nas") + text(self.password)
            connection.sendall(bytes([0x10, len(body)]) + body)
            if connection.recv(4) != b"\x20\x02\0\0":
                raise OSError("the probe is not let in")
        except OSError:
            connection.close()
            raise
        return connection

    def ask(self, number):
        try:
            self.connection = self.connection or self.connect()
            body = text(self.topic) + f"{self.word}-{number}".encode()
            self.connection.sendall(bytes([0x30, len(body)]) + body)
        except OSError:
            self.close()

    def listen(self, end):
        while time.monotonic() < end:
            for number in self.arrived(self.word, list(self.open)):
                self.answer(number)
            time.sleep(0.01)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None
