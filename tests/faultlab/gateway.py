"""TLS in front of a real broker, as hosting companies have it: takes connections at ADDRESS:PORT, passes MQTT on to 127.0.0.1:1883.

  gateway.py DIR ADDRESS PORT [--alpn NAME] [--lose TYPES] [--crumbs]

--alpn: whoever does not offer this protocol is hung up on. --lose: packets of these types (numbers of MQTT 5, 2.1.2, with commas)
never reach the client. --crumbs: what goes to the client comes one byte a TLS record. After SIGUSR1 it is a gateway whose broker
hangs: connections stay, new ones open, and nothing is passed on either way; SIGUSR2 ends that for new connections."""
import argparse
import select
import signal
import socket
import ssl
import threading

parser = argparse.ArgumentParser()
parser.add_argument("dir")
parser.add_argument("address")
parser.add_argument("port", type=int)
parser.add_argument("--alpn")
parser.add_argument("--lose", default="")
parser.add_argument("--crumbs", action="store_true")
WORDS = parser.parse_args()
LOST = {int(t) for t in WORDS.lose.split(",") if t}
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(f"{WORDS.dir}/server.pem", f"{WORDS.dir}/server.key")
if WORDS.alpn:
    CONTEXT.set_alpn_protocols([WORDS.alpn])
HANGS = threading.Event()


def packets(buffer):
    """Whole MQTT packets at the buffer's head, which are taken out of it."""
    while len(buffer) >= 2:
        size, shift, at = 0, 0, 1
        while at < len(buffer):
            size |= (buffer[at] & 0x7f) << shift
            shift, at = shift + 7, at + 1
            if not buffer[at - 1] & 0x80:
                break
        else:
            return
        if len(buffer) < at + size:
            return
        yield bytes(buffer[:at + size])
        del buffer[:at + size]


def to_client(client, packet):
    if packet[0] >> 4 in LOST:
        return
    for part in ([packet[i:i + 1] for i in range(len(packet))] if WORDS.crumbs else [packet]):
        client.sendall(part)


def carry(client, broker):
    # One thread for both directions: a TLS connection of Python's is not for two at a time.
    hangs, buffer = HANGS.is_set(), bytearray()
    while True:
        ready = [client] if client.pending() else select.select([client, broker], [], [])[0]
        for peer in ready:
            data = peer.recv(65536)
            if not data:
                return
            hangs = hangs or HANGS.is_set()
            if hangs:
                continue
            if peer is client:
                broker.sendall(data)
                continue
            buffer += data
            for packet in packets(buffer):
                to_client(client, packet)


def serve(plain):
    try:
        # Otherwise crumbs would be put together again.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(60)
        with CONTEXT.wrap_socket(plain, server_side=True) as client:
            if client.selected_alpn_protocol() != WORDS.alpn:
                return
            with socket.create_connection(("127.0.0.1", 1883)) as broker:
                carry(client, broker)
    except OSError:
        pass


signal.signal(signal.SIGUSR1, lambda *_: HANGS.set())
signal.signal(signal.SIGUSR2, lambda *_: HANGS.clear())
with socket.create_server((WORDS.address, WORDS.port)) as server:
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()
