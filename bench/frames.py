"""Sends Ethernet frames of the local experimental EtherType by a network device.

    python3 frames.py DEVICE broadcast SECONDS      to all, more than can be flooded
    python3 frames.py DEVICE learn COUNT ADDRESS    to ADDRESS, each from another one
"""

import socket
import sys
import time

# IEEE 802, 9.2.4: no host answers it.
ETHERTYPE = b"\x88\xb5"
# A frame with as many octets of payload as the datagrams that are measured.
LENGTH = 14 + 64
# So many at once, then a pause: 1,000 ports would have to take 20,000,000 frames a
# second, and a device's queue of 500 frames loses none where each is learned.
BURST, PAUSE = 10, 0.0005


def send(link, frames):
    """Sends frames until there are no more."""
    for number, frame in enumerate(frames):
        link.send(frame.ljust(LENGTH, b"\0"))
        if number % BURST == 0:
            time.sleep(PAUSE)


def broadcast(seconds):
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        # Locally administered addresses here and below, none of them in use.
        yield b"\xff" * 6 + b"\x06\x01\x00\x00\x00\x00" + ETHERTYPE


def learn(count, address):
    destination = bytes.fromhex(address.replace(":", ""))
    for number in range(int(count)):
        yield destination + b"\x06\x00" + number.to_bytes(4, "big") + ETHERTYPE


device, what, *words = sys.argv[1:]
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
packets.bind((device, 0))
send(packets, {"broadcast": broadcast, "learn": learn}[what](*words))
