"""A router's NAT-PMP at ADDRESS that says that its own address is OUTSIDE (RFC 6886). Usage: natpmpd.py ADDRESS OUTSIDE.

miniupnpd, which is real, does not tell a private or shared address: it answers "network failure" instead."""
import socket
import struct
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind((sys.argv[1], 5351))
    while True:
        question, peer = server.recvfrom(100)
        if question[:2] == b"\0\0":
            server.sendto(struct.pack(">BBHI", 0, 128, 0, 100) + socket.inet_aton(sys.argv[2]), peer)
