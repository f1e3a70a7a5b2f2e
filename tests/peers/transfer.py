"""Sends octets over TCP and checks that they arrive as they were.

    transfer.py receive HOST            prints its port, then octets, seconds, SHA-256
    transfer.py send HOST PORT OCTETS   prints the SHA-256 of what it sent
"""

import hashlib
import os
import socket
import sys
import time

BLOCK = 1 << 20


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def receive(host):
    listener = socket.create_server((host, 0), family=family(host))
    print(listener.getsockname()[1], flush=True)
    peer, _ = listener.accept()
    digest, octets, buffer, start = hashlib.sha256(), 0, bytearray(BLOCK), time.monotonic()
    while length := peer.recv_into(buffer):
        digest.update(memoryview(buffer)[:length])
        octets += length
    seconds = time.monotonic() - start
    peer.sendall(digest.digest())
    print(octets, f"{seconds:.3f}", digest.hexdigest(), flush=True)


def send(host, port, octets):
    octets, digest = int(octets), hashlib.sha256()
    peer = socket.create_connection((host, int(port)), timeout=60)
    # The block differs each time, so that one that is lost or doubled is noticed.
    block, number = bytearray(os.urandom(BLOCK)), 0
    while octets:
        block[:8] = number.to_bytes(8, "big")
        part = memoryview(block)[: min(octets, BLOCK)]
        peer.sendall(part)
        digest.update(part)
        octets -= len(part)
        number += 1
    peer.shutdown(socket.SHUT_WR)
    arrived = peer.recv(32, socket.MSG_WAITALL)
    if arrived != digest.digest():
        sys.exit("what arrived is not what was sent")
    print(digest.hexdigest(), flush=True)


{"receive": receive, "send": send}[sys.argv[1]](*sys.argv[2:])
