"""Bytes from or to a server, as fast as they go: the same program for all, so that only what is between differs. The server is no part
of what is measured: it sends from memory (sendfile) and looks at nothing.

  transfer.py serve ADDRESS PORT
  transfer.py run ADDRESS PORT down|up STREAMS BYTES SECONDS    prints bytes and seconds; ends with whichever comes first
  transfer.py first ADDRESS PORT TIMES                           seconds to the first byte of new connections
"""
import json
import os
import socket
import struct
import sys
import threading
import time

PIECE = 256 * 1024
STOCK = 16 << 20
# How often the server says how much of an upload has come.
TOLD = 0.05


def everything(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ConnectionError("it ended early")
        data += more
    return data


def serve(address, port):
    stock = os.memfd_create("stock")
    os.write(stock, os.urandom(STOCK))

    def one(connection):
        with connection:
            try:
                way, length = struct.unpack(">cQ", everything(connection, 9))
                if way == b"d":
                    left = length
                    while left:
                        # Sent in pieces, each from the start of the stock.
                        sent = os.sendfile(connection.fileno(), stock, (length - left) % STOCK, min(left, STOCK - (length - left) % STOCK))
                        left -= sent
                    connection.recv(1)
                    return
                room, come, told = bytearray(PIECE), 0, time.monotonic()
                while come < length:
                    n = connection.recv_into(room)
                    if not n:
                        return
                    come += n
                    if come == length or time.monotonic() > told + TOLD:
                        told = time.monotonic()
                        connection.sendall(struct.pack(">Q", come))
                connection.recv(1)
            except OSError:
                pass  # A client whose time is over.

    with socket.create_server((address, port), backlog=64) as listener:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=one, args=(connection,), daemon=True).start()


def run(address, port, way, streams, length, seconds):
    each, come, ends, piece = length // streams, [0] * streams, [0.0] * streams, os.urandom(PIECE)
    connections = [socket.create_connection((address, port), timeout=30) for _ in range(streams)]
    began = time.monotonic()
    end = began + seconds

    def down(i, connection):
        room = bytearray(PIECE)
        connection.sendall(struct.pack(">cQ", b"d", each))
        while come[i] < each and time.monotonic() < end:
            connection.settimeout(max(0.01, end - time.monotonic()))
            n = connection.recv_into(room)
            if not n:
                raise ConnectionError(f"stream {i} ended after {come[i]} bytes")
            come[i] += n

    def send(connection):
        try:
            connection.sendall(struct.pack(">cQ", b"u", each))
            for at in range(0, each, PIECE):
                connection.sendall(piece[:min(PIECE, each - at)])
        except OSError:
            pass  # Its time is over.

    def up(i, connection):
        connection.settimeout(None)
        sender = threading.Thread(target=send, args=(connection,), daemon=True)
        sender.start()
        while come[i] < each and time.monotonic() < end:
            come[i] = struct.unpack(">Q", everything(connection, 8))[0]

    def work(i):
        try:
            (down if way == "down" else up)(i, connections[i])
        except TimeoutError:
            pass
        finally:
            ends[i] = time.monotonic()

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 10)
    if not all(ends):
        raise TimeoutError("a stream hangs")
    print(json.dumps({"bytes": sum(come), "seconds": max(ends) - began, "whole": sum(come) == each * streams}), flush=True)
    # Not closed one after the other: what is left is not wanted.
    os._exit(0)


def first(address, port, times):
    told = []
    for _ in range(times):
        began = time.monotonic()
        with socket.create_connection((address, port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(struct.pack(">cQ", b"d", 1))
            everything(connection, 1)
            told.append(time.monotonic() - began)
        time.sleep(0.1)
    print(json.dumps(told))


if __name__ == "__main__":
    what, address, port, *words = sys.argv[1:]
    if what == "serve":
        serve(address, int(port))
    elif what == "run":
        run(address, int(port), words[0], int(words[1]), int(words[2]), float(words[3]))
    else:
        first(address, int(port), int(words[0]))
