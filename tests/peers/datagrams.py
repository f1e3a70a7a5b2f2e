"""Sends super-frames of UDP datagrams and checks that each arrives as it was.

    datagrams.py receive HOST                prints its port, then how many arrived
    datagrams.py send HOST PORT DATAGRAMS    exits with 0 once all have arrived

Each burst is answered before the next is sent, so none is lost for want of room.
"""

import socket
import sys

SOL_UDP, UDP_SEGMENT = 17, 103
SIZE, BURST = 1200, 20


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def datagram(number):
    return number.to_bytes(4, "big") + bytes((number + at) % 251 for at in range(SIZE - 4))


def receive(host):
    sockets = socket.socket(family(host), socket.SOCK_DGRAM)
    sockets.bind((host, 0))
    print(sockets.getsockname()[1], flush=True)
    count = 0
    while True:
        data, peer = sockets.recvfrom(1 << 16)
        if not data:
            break
        if data != datagram(count):
            sys.exit(f"datagram {count} is not what was sent")
        count += 1
        if count % BURST == 0:
            sockets.sendto(b"next", peer)
    print(count, flush=True)


def send(host, port, datagrams):
    sockets = socket.socket(family(host), socket.SOCK_DGRAM)
    sockets.settimeout(15)
    sockets.connect((host, int(port)))
    sockets.setsockopt(SOL_UDP, UDP_SEGMENT, SIZE)
    for first in range(0, int(datagrams), BURST):
        sockets.send(b"".join(datagram(first + at) for at in range(BURST)))
        sockets.recv(16)
    sockets.setsockopt(SOL_UDP, UDP_SEGMENT, 0)
    sockets.send(b"")


{"receive": receive, "send": send}[sys.argv[1]](*sys.argv[2:])
