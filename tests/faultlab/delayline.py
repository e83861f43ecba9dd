"""A wire that is long: what comes in at one interface leaves by the other after MS milliseconds, in its order. In place of netem, which not
every kernel has.

  delayline.py INTERFACE INTERFACE MS     carries frames until it is ended
  delayline.py --whole INTERFACE          only makes INTERFACE send whole checksums and single segments

The kernel leaves both to hardware that a veth does not have; a program in between would pass on what nobody takes (ethtool -K tx off)."""
import array
import fcntl
import select
import socket
import struct
import sys
import time
from collections import deque

ETH_P_ALL, SIOCETHTOOL, ETHTOOL_STXCSUM = 3, 0x8946, 0x17


def whole(interface):
    value = array.array("B", struct.pack("II", ETHTOOL_STXCSUM, 0))
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP", interface.encode(), value.buffer_info()[0]))


def opened(interface):
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.bind((interface, 0))
    return wire


def main():
    if sys.argv[1] == "--whole":
        return whole(sys.argv[2])
    ends, delay = [opened(name) for name in sys.argv[1:3]], int(sys.argv[3]) / 1000
    held = deque()
    while True:
        left = max(0, held[0][0] - time.monotonic()) if held else None
        for end in select.select(ends, [], [], left)[0]:
            frame, (_, _, kind, *_) = end.recvfrom(65536)
            # Not what it has sent itself.
            if kind != socket.PACKET_OUTGOING:
                held.append((time.monotonic() + delay, ends[1 - ends.index(end)], frame))
        while held and held[0][0] <= time.monotonic():
            _, end, frame = held.popleft()
            end.send(frame)


if __name__ == "__main__":
    main()
