"""The measurements of scale: a pair of hosts among many idle sessions, with many
addresses learned, a broadcast to many, and a second thread. Each takes a joined lab and
gives figures, as in `measure.py`; what they are compared with is measured beside them.
"""

import json
import pathlib
import sys
import time

import measure
from lab import Failed, wait_for

# Sessions, and those opened before counting begins: the first ones also pay for what
# all share.
SESSIONS = 1000
WARM_SESSIONS = 50

# Of the 65,536 that a forwarding database may hold.
ADDRESSES = 10_000

# Octets that a broadcast frame of frames.py takes in a WebSocket message from a server,
# with the message's header.
BROADCAST_OCTETS = 2 + 14 + 64

# Until a flood has filled every queue.
BROADCAST_START = 0.5

FOLDER = pathlib.Path(__file__).parent


def open_sessions(lab, target, count):
    """Idle sessions from B; the process that has them."""
    process = lab.start("B", [sys.executable, FOLDER / "sessions.py", target, str(count)], stdin=-1)
    wait_for(f"{count} sessions", lambda: lab.said(process).startswith("open"), patience=60)
    return process


def received(lab, sessions):
    """When, and how many octets have come to these sessions so far."""
    before = len(lab.said(sessions).split())
    sessions.stdin.write(b"\n")
    sessions.stdin.flush()
    said = wait_for("a count of octets", lambda: lab.said(sessions).split()[before:])
    return time.monotonic(), int(said[0])


def memory(lab, contender):
    """Resident memory of a switch for each idle session, in KiB."""
    switch, _ = contender.server(lab)

    def opened(count):
        open_sessions(lab, contender.url, count)
        ports = len(json.loads(contender.ctl(lab, "A", "listport", "--json")))
        return ports, measure.memory([switch])

    few, before = opened(WARM_SESSIONS)
    many, after = opened(SESSIONS)
    if many - few != SESSIONS:
        raise Failed(f"{many - few} of {SESSIONS} sessions are open")
    return {"session_kib": (after - before) / SESSIONS / 1024}


def pair(lab, contender, processes, seconds, condition):
    """One stream with its CPU time, which a busy machine changes less than its speed;
    and small datagrams, each of which is looked up."""
    to, before = contender.inner["A"], measure.cpu_seconds(processes)
    rate = measure.tcp(lab, to, seconds, [])[0]
    used = measure.cpu_seconds(processes) - before
    return {
        f"{condition}_tcp1_gbit": rate,
        f"{condition}_cpu_s_per_gb": used / (rate / 8 * seconds),
        f"{condition}_udp64_pps": measure.udp(lab, to, seconds, 64),
    }


def crowd(lab, contender, seconds):
    """A pair among idle sessions, a broadcast to all of these; the pair alone, and with
    many addresses learned."""
    # Its guards would keep what is measured away.
    processes = contender.start(lab, "--maxmacs", "20000", "--storm-broadcast", "off")
    measure.reachable(lab, contender.inner["A"])
    # The first transfer also pays for memory that all later ones use.
    measure.tcp(lab, contender.inner["A"], 1, [])
    sessions = open_sessions(lab, contender.url, SESSIONS)
    result = pair(lab, contender, processes, seconds, "crowded")
    # Not before: what it leaves in the queues would disturb the pair.
    result["broadcast_pps"] = broadcast(lab, sessions, seconds)
    lab.end(sessions)
    wait_for("an end of all sessions", lambda: len(
        json.loads(contender.ctl(lab, "A", "listport", "--json"))) < SESSIONS)
    result |= pair(lab, contender, processes, seconds, "alone")
    learn(lab, contender)
    return result | pair(lab, contender, processes, seconds, "learned")


def broadcast(lab, sessions, seconds):
    """Frames a second that arrive at all sessions together, of broadcasts that A sends
    faster than they can be flooded."""
    lab.start("A", [sys.executable, FOLDER / "frames.py", "ethws0", "broadcast",
                    str(seconds + 2 * BROADCAST_START)])
    time.sleep(BROADCAST_START)
    began, before = received(lab, sessions)
    time.sleep(seconds)
    ended, after = received(lab, sessions)
    return (after - before) / BROADCAST_OCTETS / (ended - began)


def learn(lab, contender):
    """Has both switches learn many addresses, those of frames that A sends to B."""
    address = json.loads(lab.on("B", "ip -json link show dev ethws0"))[0]["address"]
    lab.on("A", [sys.executable, FOLDER / "frames.py", "ethws0", "learn", str(ADDRESSES), address])
    for host in ("A", "B"):
        known = len(json.loads(contender.ctl(lab, host, "listfdb", "--json")))
        if known < ADDRESSES:
            raise Failed(f"{known} of {ADDRESSES} addresses are learned on {host}")


def threads(lab, contender, seconds, count):
    """One stream and four with so many threads in each switch."""
    contender.start(lab, "--threads", str(count))
    to = contender.inner["A"]
    measure.reachable(lab, to)
    return {
        f"threads{count}_tcp{streams}_gbit": measure.tcp(lab, to, seconds, ["-P", str(streams)])[0]
        for streams in (1, 4)
    }
