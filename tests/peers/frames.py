"""Frames on an interface, as they are (AF_PACKET).

    frames.py send INTERFACE HEX...
    frames.py receive INTERFACE SOURCE     prints each frame from a MAC address, in hex
    frames.py capture INTERFACE FILE       writes all frames to a file, as tcpdump does

The kernel takes VLAN tags out of what it receives; `receive` puts them back.
"""

import socket
import struct
import sys
import time

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA = 263, 8
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6

role, interface, *rest = sys.argv[1:]
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
packets.bind((interface, ETH_P_ALL))
if role == "send":
    for frame in rest:
        packets.send(bytes.fromhex(frame))
    sys.exit()
if role == "capture":
    with open(rest[0], "wb", buffering=0) as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 16, 1))
        print("ready", flush=True)
        while True:
            frame, now = packets.recv(1 << 16), time.time_ns()
            length, times = len(frame), divmod(now // 1000, 1_000_000)
            file.write(struct.pack("=IIII", *times, length, length) + frame)
packets.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
source = bytes.fromhex(rest[0])
print("ready", flush=True)
while True:
    frame, ancillary, _, _ = packets.recvmsg(1 << 16, 256)
    for _, kind, data in ancillary:
        if kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data[:20])
            if status & TP_STATUS_VLAN_VALID:
                tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    if frame[6:12] == source:
        print(frame.hex(), flush=True)
