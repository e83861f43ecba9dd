"""A long line: Ethernet frames between two interfaces, each frame later by so long, and some of them never. Usage: farline.py ONE
OTHER DELAY_MS [LOSS_PERCENT]; which ones are lost is the same in every run of it."""
import collections
import random
import select
import socket
import sys
import time

ETH_P_ALL = 3
# Frames that are under way; more are dropped, as a line does whose buffers are full.
FRAMES_MAX = 20_000

ONE, OTHER, DELAY = sys.argv[1], sys.argv[2], int(sys.argv[3]) / 1000
LOSS = float(sys.argv[4]) / 100 if len(sys.argv) > 4 else 0


def wire(interface):
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    opened.bind((interface, 0))
    opened.setblocking(False)
    return opened


one, other = wire(ONE), wire(OTHER)
across = {one: other, other: one}
under_way = collections.deque()
chance = random.Random(1)
while True:
    now = time.monotonic()
    while under_way and under_way[0][0] <= now:
        _, out, frame = under_way.popleft()
        try:
            out.send(frame)
        except OSError:
            pass  # lost: the interface is down, or its queue full
    wait = max(0, under_way[0][0] - now) if under_way else None
    for ready in select.select([one, other], [], [], wait)[0]:
        frame, (_, _, kind, *_) = ready.recvfrom(65536)
        # Not what it has sent itself.
        if kind != socket.PACKET_OUTGOING and len(under_way) < FRAMES_MAX and not (LOSS and chance.random() < LOSS):
            under_way.append((time.monotonic() + DELAY, across[ready], frame))
