"""Sends frames with VLAN tags into two switches and tells what leaves them.

vlans.py PORT...: each port is the name of two interfaces behind a prefix, o-PORT behind the
one switch and e-PORT behind the other; frames go into the one called `in`. At each line of its
input it sends all frames and prints a line of JSON: for each frame and switch the tags by
which it left each port."""

import json
import select
import socket
import struct
import sys

SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
VLAN_VALID, TPID_VALID = 0x10, 0x40
QUIET = 0.4


def tag(tpid, vid, pcp=0):
    return struct.pack("!HH", tpid, pcp << 13 | vid)


FRAMES = {
    "untagged": b"",
    "8100:0p5": tag(0x8100, 0, 5),
    "8100:10p3": tag(0x8100, 10, 3),
    "8100:20": tag(0x8100, 20),
    "8100:30": tag(0x8100, 30),
    "8100:4095": tag(0x8100, 4095),
    "88a8:10": tag(0x88A8, 10),
    "88a8:30": tag(0x88A8, 30),
    "8100:10+8100:20": tag(0x8100, 10) + tag(0x8100, 20),
    "8100:20+88a8:7": tag(0x8100, 20) + tag(0x88A8, 7),
    "88a8:10+8100:20": tag(0x88A8, 10) + tag(0x8100, 20),
    "8100:0+8100:20": tag(0x8100, 0) + tag(0x8100, 20),
}


def open_packet(name):
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    opened.bind((name, 0))
    opened.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    return opened


def whole(opened):
    """The frame with the tag that the kernel has put beside it."""
    data, ancillary, _, _ = opened.recvmsg(4096, 256)
    for level, kind, octets in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", octets[:20])
            if status & VLAN_VALID:
                tpid = tpid if status & TPID_VALID else 0x8100
                data = data[:12] + struct.pack("!HH", tpid, tci) + data[12:]
    return data


def tags(head):
    pairs = [struct.unpack("!HH", head[at:at + 4]) for at in range(0, len(head), 4)]
    written = [
        "%04x:%d%s" % (tpid, tci & 0xFFF, "p%d" % (tci >> 13) if tci >> 13 else "")
        for tpid, tci in pairs
    ]
    return "+".join(written) or "untagged"


ports = sys.argv[1:]
sockets = {open_packet(side + "-" + port): (side, port) for side in "oe" for port in ports}
enter = {side: one for one, (side, port) in sockets.items() if port == "in"}
print("ready", flush=True)
for turn, _ in enumerate(sys.stdin):
    marks = {}
    for number, (name, octets) in enumerate(FRAMES.items()):
        mark = b"ETWS%04d%04d" % (turn, number)
        marks[mark] = name
        source = bytes([2, 0, 0, 0, 1, number])
        frame = b"\xff" * 6 + source + octets + b"\x88\xb6" + mark
        for one in enter.values():
            one.send(frame.ljust(80, b"\0"))
    left = {name: {"o": {}, "e": {}} for name in FRAMES}
    while ready := select.select(sockets, [], [], QUIET)[0]:
        for one in ready:
            side, port = sockets[one]
            data = whole(one)
            for mark, name in marks.items():
                if mark in data:
                    left[name][side].setdefault(port, []).append(tags(data[12:data.index(mark) - 2]))
    print(json.dumps(left), flush=True)
