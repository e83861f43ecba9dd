"""A disk with a volatile write cache, as an NBD server on a Unix socket (NetworkBlockDevice/nbd, doc/proto.md): writes stay in
memory until the guest flushes them, and a power cut throws the rest away, torn at 512 bytes. Killing QEMU alone loses nothing:
the host's page cache survives it."""
import os
import random
import socket
import struct
import threading

SECTOR = 512
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3


class VolatileDisk(threading.Thread):
    def __init__(self, path, image, seed):
        super().__init__(daemon=True)
        self.image = open(image, "r+b", buffering=0)
        self.size = os.path.getsize(image)
        self.random, self.lock = random.Random(seed), threading.Lock()
        self.pending, self.dead, self.dropped = [], False, 0
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(1)
        self.start()

    def run(self):
        while not self.dead:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            try:
                self.serve(connection)
            except (ConnectionError, OSError):
                pass

    @staticmethod
    def receive(connection, size):
        found = bytearray()
        while len(found) < size:
            more = connection.recv(size - len(found))
            if not more:
                raise ConnectionError
            found += more
        return bytes(found)

    def agree(self, connection):
        """Fixed newstyle negotiation: the only export is what anybody asks for."""
        connection.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        self.receive(connection, 4)
        flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA
        while True:
            _, option, length = struct.unpack(">8sII", self.receive(connection, 16))
            self.receive(connection, length)

            def reply(kind, data=b""):
                connection.sendall(struct.pack(">QIII", 0x3E889045565A9, option, kind, len(data)) + data)

            if option == 1:  # EXPORT_NAME
                connection.sendall(struct.pack(">QH", self.size, flags))
                return
            if option in (6, 7):  # INFO, GO
                reply(3, struct.pack(">HQH", 0, self.size, flags))
                reply(1)
                if option == 7:
                    return
            else:
                reply(0x80000001)

    def serve(self, connection):
        self.agree(connection)
        while True:
            _, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", self.receive(connection, 28))
            data = self.receive(connection, length) if kind == WRITE else b""
            answer = b""
            with self.lock:
                if kind == READ:
                    answer = self.read(offset, length)
                elif kind == WRITE:
                    self.pending.append((offset, data))
                    if flags & 1:  # FUA
                        self.settle()
                elif kind == FLUSH:
                    self.settle()
                elif kind == DISCONNECT:
                    return
            connection.sendall(struct.pack(">IIQ", 0x67446698, 0, handle) + answer)

    def read(self, offset, length):
        self.image.seek(offset)
        found = bytearray(self.image.read(length))
        for at, data in self.pending:
            start, end = max(at, offset), min(at + len(data), offset + length)
            if start < end:
                found[start - offset:end - offset] = data[start - at:end - at]
        return bytes(found)

    def settle(self):
        for offset, data in self.pending:
            self.image.seek(offset)
            self.image.write(data)
        self.pending = []

    def power_cut(self):
        """Of what was not flushed, each sector stays or goes by chance."""
        with self.lock:
            for offset, data in self.pending:
                for at in range(0, len(data), SECTOR):
                    if self.random.random() < 0.5:
                        self.image.seek(offset + at)
                        self.image.write(data[at:at + SECTOR])
                    else:
                        self.dropped += 1
            self.pending, self.dead = [], True
        self.socket.close()
        self.image.close()
