"""A broker that misbehaves to order, for what no real one can be made to do. Usage: fakebroker.py DIR ADDRESS PORT WORDS…

WORDS: `mute` (accepts TCP and says nothing), `close` (hangs up on every login), `tls12` (offers TLS 1.2 at most), `refuse CODE` (CONNACK with this reason), `end CODE` (a good session, then DISCONNECT with this reason after a second), `keepalive S` (a good
session with Server Keep Alive), `alpn` (a good session for those who asked for it by ALPN), `large` (a good session, then a message larger than agreed), `old` (knows only MQTT 3.1.1: refuses 5, then a good session). `good` sessions answer SUBSCRIBE, PINGREQ and QoS 1 and echo
what is published to the echo topic."""
import socket
import ssl
import sys
import threading
import time

DIR, ADDRESS, PORT, WORD, *REST = sys.argv[1:]
VALUE = int(REST[0], 0) if REST else 0


def length(n):
    out = bytearray()
    while True:
        n, byte = n >> 7, n & 0x7f
        out.append(byte | (0x80 if n else 0))
        if not n:
            return bytes(out)


def packet(first, body):
    return bytes([first]) + length(len(body)) + body


def exactly(peer, n):
    data = b""
    while len(data) < n:
        more = peer.recv(n - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def read(peer):
    first, shift, size = exactly(peer, 1)[0], 0, 0
    while True:
        byte = exactly(peer, 1)[0]
        size |= (byte & 0x7f) << shift
        shift += 7
        if not byte & 0x80:
            return first, exactly(peer, size)


def welcome(level):
    if level == 4:
        return packet(0x20, bytes([0, 0]))
    properties = bytes([0x13]) + VALUE.to_bytes(2, "big") if WORD == "keepalive" else b""
    return packet(0x20, bytes([0, 0, len(properties)]) + properties)


def after(peer):
    """What a session gets a second after it was good; whether it goes on. In the thread that reads: two in one TLS connection crash Python."""
    if WORD == "large":
        peer.sendall(packet(0x30, b"\0\3a/b\0" + bytes(200_000)))
    if WORD == "end":
        peer.sendall(packet(0xe0, bytes([VALUE, 0])))
    return WORD != "end"


def session(peer):
    first, body = read(peer)
    level = body[6]
    if WORD == "old" and level == 5:
        return peer.sendall(packet(0x20, bytes([0, 1])))
    if WORD == "close":
        return None
    if WORD == "refuse":
        return peer.sendall(packet(0x20, bytes([0, VALUE, 0])))
    peer.sendall(welcome(level))
    five = b"\0" if level == 5 else b""
    due = None
    while True:
        if due and time.monotonic() >= due:
            due = None
            if not after(peer):
                return None
        peer.settimeout(max(0.01, due - time.monotonic()) if due else None)
        try:
            first, body = read(peer)
        except TimeoutError:
            continue
        kind = first >> 4
        if kind == 8:
            rest, count = body[2 + len(five):], 0
            while rest:
                size = int.from_bytes(rest[:2], "big")
                rest, count = rest[2 + size + 1:], count + 1
            peer.sendall(packet(0x90, body[:2] + five + bytes([1]) * count))
            due = due or time.monotonic() + 1
        elif kind == 10:
            peer.sendall(packet(0xb0, body[:2] + (b"\0\0" if five else b"")))
        elif kind == 3 and first & 6:
            size = int.from_bytes(body[:2], "big")
            peer.sendall(packet(0x40, body[2 + size:4 + size]))
        elif kind == 3:
            peer.sendall(packet(0x30, body))
        elif kind == 12:
            peer.sendall(packet(0xd0, b""))
        elif kind == 14:
            return None


def serve(peer):
    try:
        peer = CONTEXT.wrap_socket(peer, server_side=True)
        if WORD == "alpn" and peer.selected_alpn_protocol() != "mqtt":
            raise ConnectionError("no ALPN")
        session(peer)
    except OSError:
        pass
    finally:
        peer.close()


CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(f"{DIR}/server.pem", f"{DIR}/server.key")
if WORD == "tls12":
    CONTEXT.maximum_version = ssl.TLSVersion.TLSv1_2
if WORD == "alpn":
    CONTEXT.set_alpn_protocols(["mqtt"])
MUTE = []
with socket.create_server((ADDRESS, int(PORT))) as server:
    while True:
        connection, _ = server.accept()
        if WORD == "mute":
            MUTE.append(connection)
        else:
            threading.Thread(target=serve, args=(connection,), daemon=True).start()
