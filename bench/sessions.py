"""Opens sessions and keeps them until standard input ends. What comes is counted and thrown
away.

    python3 sessions.py URL COUNT                         idle ones
    python3 sessions.py URL COUNT PATTERN [STATIONS]      such that send

A pattern has one more session, number 0:

    pairs       1 and 2 send to each other, 3 and 4, ..; the last one to 0 if it is alone
    one         all others send to 0
    broadcast   0 sends to all others

Behind each session are so many stations, 1 by default, which send in turn; the server knows
their addresses before the first frame for one of them. Prints `open` once all sessions are
open and have sent what teaches their addresses, or `only` and how many it has when that takes
too long. For each line on standard input it prints
how many frames have come so far, and its own CPU seconds; the first line also begins the
traffic, as fast as the sessions take it.

What is sent was made before, so that a send costs no more for a thousand frames than for
one. Certificates are not checked: what is counted is what the sessions cost the server.
"""

import argparse
import concurrent.futures
import ipaddress
import resource
import select
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit

import softether
from lab import CROWD

# For all that a session has to give at once.
READ = 256 * 1024

# Octets that a sender may have under way: enough for the server never to wait, and not so
# many that thousands of senders fill the memory for TCP.
UNDER_WAY = 32 * 1024

# IEEE 802, 9.2.4: no host answers it. Octets of a frame, of which 64 are payload.
ETHERTYPE = b"\x88\xb5"
LENGTH = 14 + 64

# Frames at least that are made for one send.
TURN = 64

BROADCAST = b"\xff" * 6

# The first octet of a WebSocket's ping, and the head of the pong that has its 8 octets.
PING, PONG = 0x89, b"\x8a\x88\0\0\0\0"

# Seconds for an answer, and for all sessions to open; so many are opened at the same time.
PATIENCE, OPENING, AT_ONCE = 20, 30, 16

# After so many more the first ones say that they live; and, fewer than that, after so many
# seconds.
SILENT, ALIVE = 250, 1


def station(session, number):
    """An address behind a session, locally administered."""
    return b"\x06\x02" + session.to_bytes(2, "big") + number.to_bytes(2, "big")


def frame(destination, source):
    return (destination + source + ETHERTYPE).ljust(LENGTH, b"\0")


class WebSocket:
    """One frame is one message."""

    # Octets of a frame from a server, and of its message's header.
    TAKEN = 2 + LENGTH
    PORTS = {"ws": 80, "wss": 443, "http": 80}

    @staticmethod
    def handshake(connection, url):
        connection.sendall((
            f"GET {url.path} HTTP/1.1\r\nHost: {url.hostname}\r\nConnection: Upgrade\r\n"
            "User-Agent: bench\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(4096) or softether.refused(answer)
        if not answer.startswith(b"HTTP/1.1 101 "):
            softether.refused(answer)

    @staticmethod
    def message(frames):
        """Masked with zeros: whoever unmasks it has the same work."""
        return b"".join(b"\x82" + bytes([0x80 | LENGTH, 0, 0, 0, 0]) + frame for frame in frames)

    @staticmethod
    def keep_alive(session):
        """Says that an idle session lives, by a pong that nobody has asked for."""
        session.socket.send(b"\x8a\x80\0\0\0\0")

    @staticmethod
    def answer(session, read):
        """Answers a ping that comes between messages, as those to idle sessions do. Who is
        sending need not: any octet is a sign of life."""
        if read[0] == PING and session.at == 0:
            session.socket.send(PONG + read[2:2 + (read[1] & 0x7f)])


class SoftEther:
    """One message is a number of frames; here as many as are sent at once."""

    TAKEN = 4 + LENGTH
    PORTS = {"softether": 5555}
    handshake = staticmethod(softether.log_in)
    message = staticmethod(softether.message)

    @staticmethod
    def keep_alive(_):
        """Its sessions may be silent for 20 s."""

    @staticmethod
    def answer(_, __):
        """Nor does it ask for answers before."""


class Session:
    """One connection, and what it sends again and again."""

    def __init__(self, protocol, url, number):
        source = str(ipaddress.ip_network(CROWD)[1 + number])
        connection = socket.create_connection(
            (url.hostname, url.port or protocol.PORTS[url.scheme]), PATIENCE, (source, 0))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNDER_WAY)
        if url.scheme in ("wss", "softether"):
            connection = TLS.wrap_socket(connection)
        protocol.handshake(connection, url)
        self.socket, self.turn, self.at = connection, b"", 0

    def send(self):
        """What the connection takes now; the rest of a turn is next."""
        try:
            self.at += self.socket.send(self.turn[self.at:])
        except NOT_NOW:
            return
        if self.at == len(self.turn):
            self.at = 0


TLS = ssl._create_unverified_context()
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def open_all(protocol, url, count):
    """All sessions; ends the program if they take too long."""
    end = time.monotonic() + OPENING

    def opened(number):
        if time.monotonic() < end:
            try:
                return Session(protocol, url, number)
            except OSError as cause:
                print(f"session {number}: {cause}", file=sys.stderr)
        return None

    sessions = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for first in range(0, count, SILENT):
            sessions += pool.map(opened, range(first, min(first + SILENT, count)))
            for session in filter(None, sessions):
                protocol.keep_alive(session)
    if None in sessions:
        print("only", count - sessions.count(None), flush=True)
        sys.exit(1)
    return sessions


def peers(pattern, count):
    """{session: the one it sends to, or `None` for all}"""
    if pattern == "broadcast":
        return {0: None}
    if pattern == "one":
        return {number: 0 for number in range(1, count + 1)}
    pairs = {number: number + 1 if number % 2 else number - 1 for number in range(1, count + 1)}
    return pairs | ({count: 0, 0: count} if count % 2 else {})


def teach(protocol, sessions, stations):
    """Has the server learn all addresses, from frames for who sends them: they go nowhere."""
    for number, session in enumerate(sessions):
        session.socket.sendall(protocol.message(
            [frame(station(number, 0), station(number, other)) for other in range(stations)]))


def prepare(protocol, sessions, to, stations):
    """Makes what the senders send: of each station as many frames."""
    turns = -(-TURN // stations)
    for number, peer in to.items():
        frames = [
            frame(BROADCAST if peer is None else station(peer, one), station(number, one))
            for one in range(stations)]
        sessions[number].turn = memoryview(protocol.message(frames * turns))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", type=urlsplit)
    parser.add_argument("count", type=int)
    parser.add_argument("pattern", nargs="?", choices=("pairs", "one", "broadcast"))
    parser.add_argument("stations", nargs="?", type=int, default=1)
    chosen = parser.parse_args()
    url, count, pattern = chosen.url, chosen.count, chosen.pattern
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    protocol = SoftEther if url.scheme == "softether" else WebSocket
    sessions = open_all(protocol, url, count + bool(pattern))
    senders = {}
    if pattern:
        teach(protocol, sessions, chosen.stations)
        senders = peers(pattern, count)
        prepare(protocol, sessions, senders, chosen.stations)
    ready = select.epoll()
    by_descriptor = {}
    for session in sessions:
        session.socket.setblocking(False)
        by_descriptor[session.socket.fileno()] = session
        ready.register(session.socket, select.EPOLLIN)
    ready.register(sys.stdin, select.EPOLLIN)
    print("open", flush=True)
    keep(ready, by_descriptor, [sessions[number] for number in senders], protocol)


def taken(session, buffer, protocol):
    """Octets that a session has to give, as many as the buffer has at most: over TLS they come in
    records, and one for each turn would make a slow receiver of it."""
    octets = 0
    while octets < len(buffer):
        try:
            size = session.socket.recv_into(buffer)
        except NOT_NOW:
            break
        if not size:
            sys.exit("a session has ended")
        octets += size
        protocol.answer(session, buffer)
        if not isinstance(session.socket, ssl.SSLSocket):
            break
    return octets


def keep(ready, sessions, senders, protocol):
    """Sends, and counts what comes."""
    octets, buffer = 0, bytearray(READ)
    # A ping between frames that come without pause is not seen: who sends nothing says by itself
    # that it lives.
    silent = [session for session in sessions.values() if not session.turn]
    said = time.monotonic()
    while True:
        if len(silent) < SILENT and time.monotonic() > said + ALIVE:
            said = time.monotonic()
            for session in silent:
                protocol.keep_alive(session)
        for number, event in ready.poll():
            if number == sys.stdin.fileno():
                if not sys.stdin.readline():
                    return
                print(octets // protocol.TAKEN, time.process_time(), flush=True)
                while senders:
                    ready.modify(senders.pop().socket, select.EPOLLIN | select.EPOLLOUT)
                continue
            session = sessions[number]
            if event & select.EPOLLOUT:
                session.send()
            if event & ~select.EPOLLOUT:
                octets += taken(session, buffer, protocol)


main()
