"""Writes frames with work left on them into one interface, and reads them from another.

    carry.py NEAR FAR OFFLOAD MTU SEED COUNT

NEAR and FAR are TAP devices to be made, `name` or `name@/proc/PID/ns/net`, `=name` for the
host's end of an interface that is there, or `ws:HOST:PORT` for a session of a switch. With OFFLOAD `off` a far TAP takes only
finished frames. Prints `ready` once both are there, waits for a line, then sends the listed
cases and COUNT random ones and prints as JSON which of them came out otherwise than the
model says, and which not at all.

The model builds each finished frame from its outermost header to its last octet. It knows
nothing of super-frames but that they hold what their segments hold.
"""

import ctypes
import fcntl
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time

TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 2, 0x1000, 0x4000
CSUM, TSO4, TSO6, ECN, USO4, USO6 = 1, 2, 4, 8, 0x20, 0x40
SOL_PACKET, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 8, 15, 23
TCP4, TCP6, UDP_L4, GSO_ECN = 1, 4, 5, 0x80
TCP, UDP, SCTP = 6, 17, 132
DST = bytes.fromhex("02fafa000001")
ADDRESSES = bytes.fromhex("20010db8") + b"who sends  ." + bytes.fromhex("20010db8") + b"who hears  ."


def word(value):
    return struct.pack("!H", value & 0xFFFF)


def total(octets):
    octets += b"\0" * (len(octets) % 2)
    value = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while value > 0xFFFF:
        value = (value & 0xFFFF) + (value >> 16)
    return value


def crc32c(octets):
    crc = 0xFFFFFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return struct.pack("<I", crc ^ 0xFFFFFFFF)


def ethertype(part):
    names = {"eth": 0x6558, "ip4": 0x0800, "ip6": 0x86DD, "mpls": 0x8847, "pppoe": 0x8864}
    return word(names[part[0]])


def protocol(part):
    names = {"as it is": 47, "tcp": TCP, "udp": UDP, "gre": 47, "ip4": 4, "ip6": 41, "mpls": 137, "sctp": SCTP}
    return names[part[0]]


class Segment:
    """Which segment, of what payload; `done`: checksums are finished; `only_inner`: but for
    the innermost one, where the others are as if it were."""

    def __init__(self, payload, at=0, offset=0, last=True, done=True, source=DST):
        self.payload, self.at, self.offset, self.last = payload, at, offset, last
        self.done, self.source = done, source


def checksum(part, addresses, octets, done):
    at = {"tcp": 16, "udp": 6}.get(part[0])
    if at is None or (part[0] == "udp" and not part[1]):
        return octets
    pseudo = addresses + bytes([0, protocol(part)]) + word(len(octets))
    value = total(pseudo)
    if done:
        value = 0xFFFF - total(pseudo + octets)
        value = 0xFFFF if value == 0 and at == 6 else value
    return octets[:at] + word(value) + octets[at + 2 :]


def build(parts, seg, first=True):
    if not parts:
        return seg.payload
    part, rest = parts[0], parts[1:]
    inner = build(rest, seg, False)
    kind = part[0]
    if kind == "eth":
        head = DST + seg.source if first else b"\2" * 12
        for tpid in part[1]:
            head += word(tpid) + word(0x6007)
        return head + (ethertype(rest[0]) if len(part) < 3 else word(part[2])) + inner
    if kind == "ip4":
        inner = checksum(rest[0], ADDRESSES[4:12], inner, seg.done)
        size = 20 + 4 * part[1]
        head = bytes([0x40 + size // 4, 1]) + word(size + len(inner)) + word(0xFFFE + seg.at)
        head += bytes([0x40, 0, 64, protocol(rest[0]), 0, 0]) + ADDRESSES[4:12] + b"\1" * (size - 20)
        return head[:10] + word(0xFFFF - total(head)) + head[12:] + inner
    if kind == "ip6":
        inner = checksum(rest[0], ADDRESSES, inner, seg.done)
        follows = protocol(rest[0])
        for header in part[1]:
            inner = bytes([follows, 0]) + b"\1\4\0\0\0\0" + inner
            follows = header
        return b"\x60\0\0\1" + word(len(inner)) + bytes([follows, 64]) + ADDRESSES + inner
    if kind == "udp":
        return b"\x12\x34" + word(part[2]) + word(8 + len(inner)) + b"\0\0" + inner
    if kind == "vxlan":
        return b"\x08\0\0\0\1\2\3\0" + inner
    if kind == "geneve":
        return bytes([part[1], 0x40]) + ethertype(rest[0]) + b"\1\2\3\0" + b"\7" * (4 * part[1]) + inner
    if kind == "gtp":
        more = b"\0\0\0\x85\1\7\7\0" if part[1] else b""
        return bytes([0x34 if part[1] else 0x30, 0xFF]) + word(len(more + inner)) + b"\1\2\3\4" + more + inner
    if kind == "gre":
        head = bytes([(0x80 if part[1] else 0) + (0x20 if part[2] else 0), 0]) + ethertype(rest[0])
        if part[1]:
            head += b"\0\0\0\0"
        if part[2]:
            head += b"\1\2\3\4"
        if part[1] and seg.done:
            head = head[:4] + word(0xFFFF - total(head + inner)) + head[6:]
        return head + inner
    if kind == "as it is":
        return part[1] + inner
    if kind == "mpls":
        return b"\0\1\0\x40" * (part[1] - 1) + b"\0\1\1\x40" + inner
    if kind == "pppoe":
        return b"\x11\0\0\7" + word(2 + len(inner)) + (b"\0\x21" if rest[0][0] == "ip4" else b"\0\x57") + inner
    if kind == "tcp":
        flags = 0x10 + (0x80 if seg.at == 0 and part[2] else 0) + (9 if seg.last else 0)
        head = b"\x12\x34\x56\x78" + struct.pack("!I", (0xFFFFF000 + seg.offset) & 0xFFFFFFFF)
        return head + b"\0\0\0\1" + bytes([16 * (5 + part[1]), flags]) + b"\1\0\0\0\0\0" + b"\1" * (4 * part[1]) + inner
    if kind == "sctp":
        head = b"\x12\x34\x56\x78\1\2\3\4"
        return head + (crc32c(head + b"\0\0\0\0" + inner) if seg.done else b"\0\0\0\0") + inner
    raise ValueError(kind)


class Case:
    """What is written: header and frame. What must come out: `expected`."""

    def __init__(self, name, header, frame, expected):
        self.name, self.header, self.frame, self.expected = name, header, frame, expected
        self.got = []


def vnet(gso=0, size=0, csum=None, hdr_len=0):
    start, offset = csum or (0, 0)
    return struct.pack("=BBHHHH", 1 if csum else 0, gso, hdr_len, size, start, offset)


def case(at, parts, work, length, size):
    """A packet of `parts` with so many octets of payload; `work`: gso, csum or done."""
    source = bytes([2, 0xCA, 0xCA, 0, at >> 8, at & 0xFF])
    rng = random.Random(at)
    payload = rng.randbytes(length)
    name = f"{at}: {work} {length}/{size} {parts}"
    last = parts[-1]
    head = {"tcp": lambda: 20 + 4 * last[1], "udp": lambda: 8, "sctp": lambda: 12}[last[0]]()
    field = {"tcp": 16, "udp": 6, "sctp": 8}[last[0]]
    whole = build(parts, Segment(payload, done=True, source=source))
    start = len(whole) - length - head
    if work == "done":
        return Case(name, vnet(), whole, [whole])
    if work == "csum":
        inner = build(parts, Segment(payload, done=False, source=source))
        at = start + field
        wide = 4 if last[0] == "sctp" else 2
        frame = whole[:at] + inner[at : at + wide] + whole[at + wide :]
        return Case(name, vnet(csum=(start, field)), frame, [whole])
    frame = build(parts, Segment(payload, done=False, source=source))
    ip = [part[0] for part in parts if part[0] in ("ip4", "ip6")][-1]
    gso = UDP_L4 if last[0] == "udp" else TCP4 if ip == "ip4" else TCP6
    if last[0] == "tcp" and last[2]:
        gso |= GSO_ECN
    count = max(1, -(-length // size))
    expected = [
        build(parts, Segment(payload[n * size : (n + 1) * size], n, n * size, n + 1 == count, source=source))
        for n in range(count)
    ]
    return Case(name, vnet(gso, size, (start, field), start + head), frame, expected)


def raw(at, tags, length, csum=None):
    """Octets of no protocol, perhaps with a checksum due somewhere."""
    source = bytes([2, 0xCA, 0xCA, 0, at >> 8, at & 0xFF])
    frame = DST + source + b"".join(word(tpid) + word(0x6007) for tpid in tags) + b"\x88\xb5"
    frame += random.Random(at).randbytes(max(0, length - len(frame)))
    done = frame
    if csum:
        place, value = sum(csum), 0xFFFF - total(frame[csum[0] :])
        done = frame[:place] + word(0xFFFF if value == 0 and csum[1] == 6 else value) + frame[place + 2 :]
    return Case(f"{at}: raw {length} {tags} {csum}", vnet(csum=csum), frame, [done])


OUTER = [("eth", ()), ("eth", (0x8100,)), ("eth", (0x88A8,)), ("eth", (0x88A8, 0x8100))]
IPS = [("ip4", 0), ("ip6", ()), ("ip4", 2), ("ip6", (60,)), ("ip6", (43,)), ("ip6", (0, 60))]


def tunnels(sums):
    """What leads from an IP header to another, with or without checksums."""
    ethernet = ("eth", ())
    return [
        [("udp", sums, 4789), ("vxlan",), ethernet],
        [("udp", sums, 9999), ("vxlan",), ("eth", (0x8100,))],
        [("udp", sums, 6081), ("geneve", 0), ethernet],
        [("udp", sums, 6081), ("geneve", 9), ethernet],
        [("udp", sums, 2152), ("gtp", False)],
        [("udp", sums, 2152), ("gtp", True)],
        [("udp", sums, 5555)],
        [("gre", sums, False)],
        [("gre", sums, True)],
        [("gre", sums, False), ethernet],
        [("mpls", 2)],
        [],
    ]


def unknown():
    """Super-frames whose headers have a number of their own for each packet, or which are of a
    kind that is not read: what would come of cutting them only their sender knows."""
    ip4, eth = IPS[0], ("eth", ())
    in_udp = [("udp", False, 6080), ("as it is", b"\0\4\0\0")]
    yield [eth, ip4] + in_udp + [ip4]  # GUE
    yield [eth, ip4, ("udp", True, 1701), ("as it is", b"\0\2\1\2\3\4\xff\3\0\x21"), ip4]  # L2TP
    yield [eth, ip4, ("udp", True, 1701), ("as it is", b"\0\3\0\0\1\2\3\4"), eth, ip4]  # L2TPv3
    yield [eth, ip4, ("udp", False, 6635), ("as it is", b"\0\1\1\x40"), ip4]  # MPLS in UDP
    nsh = ("as it is", b"\x0f\xc2\2\1\0\0\1\xff" + bytes(16))
    yield [eth, ip4, ("udp", False, 4790), ("as it is", b"\x0c\0\0\4\1\2\3\0"), nsh, ip4]
    yield [("eth", (), 0x894F), nsh, ip4]
    # A protocol that nobody has.
    yield [("eth", (), 0x88B5), ip4]


def stacks():
    yield from ([outer] for outer in OUTER)
    yield [OUTER[0], ("mpls", 2)]
    yield [OUTER[1], ("pppoe",)]
    for n, tunnel in enumerate(tunnels(True) + tunnels(False)):
        for ip in IPS[n % 2 :: 2][:2]:
            yield [OUTER[n % 4], ip] + tunnel
    two = tunnels(True)[0]
    yield [OUTER[0], IPS[0]] + two + [IPS[1]] + two


def listed(mtu):
    """(function, arguments) of each case."""
    last = [("tcp", 3, False), ("tcp", 0, True), ("udp", True, 53)]
    for n, stack in enumerate(stacks()):
        for inner in IPS[:2]:
            parts = stack + [inner, last[n % 3]]
            fits = mtu - len(build(parts, Segment(b""))) + 14
            if fits < 8:
                continue
            size = min(fits, 20000)
            yield case, parts, "gso", 3 * size + 5, size
            yield case, parts, "csum", min(fits, 77), 0
        yield case, stack + [IPS[n % 2], last[(n + 1) % 3]], "csum", 200, 0
        yield case, stack + [IPS[n % 2], ("sctp",)], "csum", 41, 0
        yield case, stack + [IPS[n % 2], last[n % 3]], "done", 100, 0
    for ip in IPS:
        for kind in last:
            # As long as a super-frame is: the IP packet fills its length's field.
            head = len(build([OUTER[0], ip, kind], Segment(b"")))
            yield case, [OUTER[0], ip, kind], "gso", 65535 + 14 - head, min(1400, mtu - head + 14)
            yield case, [OUTER[0], ip, kind], "gso", 20, 8
    for length in (14, 15, 16, 18, 59, 60, 61, 64, 576, mtu + 13, mtu + 14):
        yield raw, (), length
    for tags in ((0x8100,), (0x88A8,), (0x88A8, 0x8100), (0x8100, 0x8100)):
        # Tags come on top of the MTU.
        yield raw, tags, mtu + 14 + 4 * len(tags)
        # The kernel looks two octets beyond a tag's EtherType.
        yield raw, tags, 16 + 4 * len(tags)
    for csum in ((34, 4), (40, 8 + 2), (100, 300), (mtu - 10, 0), (34, 6), (34, 16)):
        yield raw, (), mtu + 14, csum


def is_plain(parts):
    return len(parts) == 3 and parts[1] != ("ip6", (43,))


def drawn(rng, mtu):
    """A random case."""
    if rng.random() < 0.15:
        tags = tuple(rng.choice((0x8100, 0x88A8)) for _ in range(rng.randrange(3)))
        length = rng.randrange(16, mtu + 15) + 4 * len(tags)
        csum = (rng.randrange(34, 200), rng.randrange(0, 300, 2))
        is_due = sum(csum) + 2 <= length and csum[1] != 8 and rng.random() < 0.5
        return raw, tags, length, csum if is_due else None
    parts = [rng.choice(OUTER)]
    if rng.random() < 0.2:
        parts.append(rng.choice([("mpls", rng.randrange(1, 4)), ("pppoe",)]))
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        parts += [rng.choice(IPS)] + rng.choice(tunnels(rng.random() < 0.5))
    parts += [rng.choice(IPS), rng.choice([("tcp", rng.randrange(11), rng.random() < 0.2), ("udp", True, 7)])]
    fits = mtu - len(build(parts, Segment(b""))) + 14
    if fits < 8:
        return drawn(rng, mtu)
    work = rng.choice(("gso", "gso", "csum", "done"))
    size = rng.choice((fits, rng.randrange(8, fits + 1))) if fits < 20000 else 9000
    length = rng.randrange(1, fits + 1) if work != "gso" else rng.randrange(size + 1, min(40 * size, 62000) + 2)
    return case, parts, work, length, size


def finish(header, frame):
    """The finished frames of what a kernel gives: TCP or UDP behind the first IP header."""
    flags, gso, _, size, start, offset = struct.unpack("=BBHHHH", header)
    if not flags & 1 and not gso:
        return [frame]
    if not gso:
        value = 0xFFFF - total(frame[start:])
        place = start + offset
        return [frame[:place] + word(0xFFFF if value == 0 and offset == 6 else value) + frame[place + 2 :]]
    is_tcp = offset == 16
    head = start + (frame[start + 12] >> 4) * 4 if is_tcp else start + 8
    ip = 12
    while frame[ip : ip + 2] in (b"\x81\0", b"\x88\xa8"):
        ip += 4
    is_ip4, ip = frame[ip : ip + 2] == b"\x08\0", ip + 2
    done = []
    for n, at in enumerate(range(head, max(len(frame), head + 1), size)):
        part = bytearray(frame[:head] + frame[at : at + size])
        length = len(part) - start
        if is_ip4:
            part[ip + 2 : ip + 6] = word(len(part) - ip) + word(struct.unpack("!H", part[ip + 4 : ip + 6])[0] + n)
            part[ip + 10 : ip + 12] = b"\0\0"
            part[ip + 10 : ip + 12] = word(0xFFFF - total(bytes(part[ip : ip + (part[ip] & 15) * 4])))
        else:
            part[ip + 4 : ip + 6] = word(len(part) - ip - 40)
        addresses = bytes(part[ip + 12 : ip + 20] if is_ip4 else part[ip + 8 : ip + 40])
        if is_tcp:
            sequence = struct.unpack("!I", part[start + 4 : start + 8])[0] + at - head
            part[start + 4 : start + 8] = struct.pack("!I", sequence & 0xFFFFFFFF)
            part[start + 13] &= 0xFF if n == 0 else 0x7F
            part[start + 13] &= 0xFF if at + size >= len(frame) else 0xF6
        else:
            part[start + 4 : start + 6] = word(length)
        place = start + offset
        part[place : place + 2] = b"\0\0"
        pseudo = addresses + bytes([0, TCP if is_tcp else UDP]) + word(length)
        value = 0xFFFF - total(pseudo + bytes(part[start:]))
        part[place : place + 2] = word(0xFFFF if value == 0 and not is_tcp else value)
        done.append(bytes(part))
    return done


def settled(one):
    """What a case's frames are once both ends are finished."""
    done = []
    for header, frame in one.got:
        same = frame == one.frame and header[:2] == one.header[:2] and header[6:] == one.header[6:]
        done += one.expected if same and header != vnet() else finish(header, frame)
    return done


class Packets:
    """The host's end of an interface: what it sends and gets, tags and all."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.bind((name, 3))

    def fileno(self):
        return self.socket.fileno()

    def write(self, octets):
        self.socket.send(octets)

    def read(self):
        octets, ancillary, _, _ = self.socket.recvmsg(1 << 18, 256)
        status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", ancillary[0][2][:20])
        if not status & 0x10:
            return octets
        start = struct.unpack("=H", octets[6:8])[0] + (4 if octets[0] & 1 else 0)
        tag = word(tpid if status & 0x40 else 0x8100) + word(tci)
        return octets[:6] + struct.pack("=H", start) + octets[8:22] + tag + octets[22:]


class Tap:
    def __init__(self, device):
        self.device = device

    def fileno(self):
        return self.device

    def write(self, octets):
        os.write(self.device, octets)

    def read(self):
        return os.read(self.device, 1 << 18)


class Session:
    """A WebSocket client, as of a program that knows nothing of work left on frames."""

    def __init__(self, address):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.sendall(
            f"GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self.exactly(1)
        assert b" 101 " in answer, answer

    def fileno(self):
        return self.socket.fileno()

    def exactly(self, count):
        return self.socket.recv(count, socket.MSG_WAITALL)

    def write(self, octets):
        frame = octets[10:]
        assert len(frame) < 126
        self.socket.sendall(bytes([0x82, 0x80 + len(frame), 0, 0, 0, 0]) + frame)

    def read(self):
        kind, length = self.exactly(2)
        if length >= 126:
            length = int.from_bytes(self.exactly(2 if length == 126 else 8), "big")
        message = self.exactly(length)
        if kind == 0x89:
            self.socket.sendall(bytes([0x8A, 0x80 + length, 0, 0, 0, 0]) + message)
        return vnet() + (message if kind == 0x82 else b"")


def interface(name, offload, mtu):
    if name.startswith("ws:"):
        return Session(name[3:])
    if name.startswith("="):
        return Packets(name[1:])
    name, _, namespace = name.partition("@")
    if namespace:
        with open(namespace) as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0x40000000):
                raise OSError(ctypes.get_errno(), "setns")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(device, TUNSETOFFLOAD, CSUM | TSO4 | TSO6 | ECN | USO4 | USO6 if offload else 0)
    with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as file:
        file.write("1")
    subprocess.run(["ip", "link", "set", name, "mtu", str(mtu), "up"], check=True)
    return Tap(device)


def main():
    near, far, offload, mtu, seed, count = sys.argv[1:]
    mtu = int(mtu)
    # A kernel cuts what a packet socket gives it, or drops it.
    any_work = not near.startswith("=")
    near, far = interface(near, True, mtu), interface(far, offload == "on", mtu)
    if seed == "unknown":
        # And GRE with sequence numbers.
        numbered = [[("eth", ()), IPS[0], ("as it is", b"\x10\0\x08\0\0\0\0\7"), IPS[0]]]
        made = [(case, parts + [("tcp", 3, False)], "gso", 3005, 1000) for parts in list(unknown()) + numbered]
    else:
        rng = random.Random(int(seed))
        made = list(listed(mtu)) + [drawn(rng, mtu) for _ in range(int(count))]
    made = [one for one in made if any_work or one[2] != "gso" or is_plain(one[1])]
    cases = [what(at, *arguments) for at, (what, *arguments) in enumerate(made)]
    print("ready", flush=True)
    sys.stdin.readline()
    # It is known behind which port they are for, without a tag and in the cases' VLAN: flooded
    # frames would wait for the others where a machine is slow.
    taught = {b"\x88\xb5", b"\x81\0"}
    for tag in (b"", b"\x81\0\x60\7"):
        far.write(vnet() + b"\xff" * 6 + DST + tag + b"\x88\xb5" + bytes(46))
    while taught:
        if not select.select([near], [], [], 10)[0]:
            sys.exit("nothing passes")
        octets = near.read()[10:]
        if octets[6:12] == DST:
            taught.discard(octets[12:14])

    def take(wait):
        while select.select([far], [], [], wait)[0]:
            octets = far.read()
            if octets[16:20] == b"\2\xca\xca\0":
                cases[int.from_bytes(octets[20:22], "big")].got.append((octets[:10], octets[10:]))
            wait = 0

    def wait(some):
        start = time.monotonic()
        while any(len(settled(one)) < len(one.expected) for one in some):
            take(0.02)
            # What has not begun to come out by then may do so later.
            if time.monotonic() > start + (1 if all(one.got for one in some) else 0.1):
                break

    refused = []
    for at, one in enumerate(cases):
        try:
            near.write(one.header + one.frame)
        except OSError:
            # No device takes it: short of a header, say.
            refused.append(at)
            continue
        # No more at once than a socket or a device has room for.
        first = at if len(one.expected) > 8 else at - 3
        if first == at or at % 4 == 3 or at == len(cases) - 1:
            wait(cases[max(0, first) : at + 1])
    for _ in range(20):
        take(0.02)
    sent = [one for at, one in enumerate(cases) if at not in refused]
    missing = [one.name for one in sent if not one.got]
    wrong = [one for one in sent if one.got and settled(one) != one.expected]
    longest = max((len(frame) for one in sent for _, frame in one.got), default=0)
    unfinished = sum(header[:2] != b"\0\0" and header[0] & 1 for one in sent for header, _ in one.got)
    print(json.dumps({
        "sent": len(sent),
        "refused": [cases[at].name for at in refused],
        "missing": missing,
        "wrong": [f"{one.name}: {len(settled(one))} of {len(one.expected)}" for one in wrong],
        "longest": longest,
        "unfinished": unfinished,
    }), flush=True)
    if os.environ.get("SHOW"):
        for one in wrong[: int(os.environ["SHOW"])]:
            print(one.name, file=sys.stderr)
            for header, frame in one.got:
                print(" ", header.hex(), len(frame), frame[:160].hex(), file=sys.stderr)
            for frame in one.expected:
                print(" =", len(frame), frame[:160].hex(), file=sys.stderr)


main()
