"""An SNTP server at ADDRESS that tells the time of this machine (RFC 4330). Usage: timeserver.py ADDRESS."""
import socket
import struct
import sys
import time

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind((sys.argv[1], 123))
    while True:
        question, peer = server.recvfrom(100)
        if len(question) >= 48:
            seconds = int(time.time()) + 2_208_988_800
            head = struct.pack(">BBbbIII", 0b00_100_100, 2, 6, -20, 0, 0, 0)
            stamp = struct.pack(">II", seconds, 0)
            server.sendto(head + stamp + question[40:48] + stamp + stamp, peer)
