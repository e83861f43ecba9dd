#!/usr/bin/env python3
"""Stands in for a tap device where the kernel gives none: Ethernet frames between one end of a veth pair and QEMU's UDP socket.

  relay.py INTERFACE OWN-PORT QEMU-PORT
"""
import fcntl
import select
import socket
import struct
import sys

ETH_P_ALL, SIOCETHTOOL, ETHTOOL_STXCSUM = 3, 0x8946, 0x17


def whole_checksums(interface):
    """The kernel leaves checksums to hardware that a veth does not have; QEMU's guest would drop such packets (ethtool -K tx off)."""
    import array

    value = array.array("B", struct.pack("II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP", interface.encode(), value.buffer_info()[0])
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def main():
    interface, own, other = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    whole_checksums("tap0")
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.bind((interface, 0))
    qemu = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    qemu.bind(("127.0.0.1", own))
    while True:
        for ready in select.select([wire, qemu], [], [])[0]:
            if ready is wire:
                frame, (_, _, kind, *_) = wire.recvfrom(65536)
                # Not what it has sent itself.
                if kind != socket.PACKET_OUTGOING:
                    try:
                        qemu.sendto(frame, ("127.0.0.1", other))
                    except OSError:
                        pass
            else:
                wire.send(qemu.recv(65536))


if __name__ == "__main__":
    main()
