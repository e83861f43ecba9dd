"""Gives every connection its bytes back, on this port of the NAS. Usage: echo.py PORT."""
import socketserver
import sys


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(100):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address, request_queue_size = True, True, 100

    def handle_error(self, *_):
        pass  # A probe that did not wait.


Server(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
