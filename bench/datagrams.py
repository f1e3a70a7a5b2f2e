"""Sends UDP datagrams as QUIC does, many with one call (UDP_SEGMENT), and takes them the
same way (UDP_GRO): what a device gets of it are super-frames, if it knows those of UDP.

    python3 datagrams.py send ADDRESS SECONDS
    python3 datagrams.py take SECONDS            prints octets a second, from the first on
"""

import socket
import sys
import time

PORT = 5202

# Linux's <linux/udp.h>, which Python's socket does not have.
UDP_SEGMENT, UDP_GRO = 103, 104

# Octets of a datagram: one of QUIC's in an MTU of 1500. So many make almost 64 KiB.
LENGTH, COUNT = 1400, 46


def send(address, seconds):
    """As fast as the socket takes them."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, LENGTH)
    out.connect((address, PORT))
    many, end = bytes(LENGTH * COUNT), time.monotonic() + float(seconds)
    while time.monotonic() < end:
        out.send(many)


def take(seconds):
    """Counts what comes in that time; it begins with the first datagram."""
    into, buffer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), bytearray(1 << 16)
    into.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    into.bind(("", PORT))
    # Long enough for a sender to start, and for what one that has ended has left behind.
    into.settimeout(10)
    print("ready", flush=True)
    end, octets = None, 0
    while end is None or time.monotonic() < end:
        octets += into.recv_into(buffer)
        end = end or time.monotonic() + float(seconds)
    print(octets / float(seconds), flush=True)


{"send": send, "take": take}[sys.argv[1]](*sys.argv[2:])
