"""A portal at ADDRESS: whoever connects, on the broker's port or the web's, meets a server with a certificate of its own. Usage:
portal.py ADDRESS."""
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

ADDRESS = sys.argv[1]
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def serve(port, tls):
    with socket.create_server((ADDRESS, port)) as server:
        while True:
            peer, _ = server.accept()
            threading.Thread(target=answer, args=(peer, tls), daemon=True).start()


def answer(peer, tls):
    try:
        peer.settimeout(10)
        if tls:
            peer = CONTEXT.wrap_socket(peer, server_side=True)
        peer.recv(1000)
        peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\n\r\n")
    except OSError:
        pass
    finally:
        peer.close()


with tempfile.TemporaryDirectory() as where:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=portal.example", "-days", "3650", "-addext", "basicConstraints=critical,CA:FALSE",
                    "-keyout", f"{where}/key", "-out", f"{where}/pem"], check=True, stderr=subprocess.DEVNULL)
    CONTEXT.load_cert_chain(f"{where}/pem", f"{where}/key")
threads = [threading.Thread(target=serve, args=a) for a in ((80, False), (8883, True))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
