"""Numbered datagrams of several flows, and what is seen of them at the other end.

flows.py send ADDRESS FLOWS   sends until a line comes in
flows.py receive              says at each line what has come since the last one
"""

import json
import select
import socket
import struct
import sys
import time

PORT = 5000


def send(address, flows):
    sockets = []
    for flow in range(flows):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("", 6000 + flow))
        one.connect((address, PORT))
        sockets.append(one)
    print("ready", flush=True)
    number = 0
    while not select.select([sys.stdin], [], [], 0.001)[0]:
        number += 1
        for one in sockets:
            try:
                one.send(struct.pack("!Q", number) + bytes(800))
            except OSError:
                pass  # Nobody listens there, or its queue is full.


def receive():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    one.bind(("", PORT))
    print("ready", flush=True)
    last, seen, gaps, reordered = {}, {}, {}, 0
    while True:
        if sys.stdin in select.select([one, sys.stdin], [], [])[0]:
            if not sys.stdin.readline():
                return
            now = time.monotonic()
            gap = max([now - at for at in seen.values()] + list(gaps.values()), default=0)
            said = {"flows": len(gaps), "reordered": reordered, "gap": gap}
            print(json.dumps(said), flush=True)
            gaps, reordered = {}, 0
            continue
        data, (_, flow) = one.recvfrom(2000)
        number, now = struct.unpack("!Q", data[:8])[0], time.monotonic()
        reordered += number <= last.get(flow, 0)
        gaps[flow] = max(gaps.get(flow, 0), now - seen.get(flow, now))
        last[flow], seen[flow] = max(number, last.get(flow, 0)), now


if sys.argv[1] == "send":
    send(sys.argv[2], int(sys.argv[3]))
else:
    receive()
