"""The measurements of scale: what a server does for so many sessions that send in a
pattern, how it gets thousands of reconnects over with, and what thousands of ports and
addresses cost a pair of hosts and whoever looks at them. Each takes a lab and gives
figures, as in `measure.py`; figures of a pattern have its name and number of sessions.

What `_generator` tells is the share that `sessions.py` has of the CPU time: where it is
larger than half, on two cores, the figures are bounded by it and not by the server.
"""

import http.client
import json
import pathlib
import re
import socket
import statistics
import sys
import time

import measure
from lab import Failed, wait_for

# Sessions of the comparison, and those opened before counting begins: the first ones also
# pay for what all share.
SESSIONS = 1000
WARM_SESSIONS = 50

# What is loaded, and what waits beside a pair of hosts. A server takes 4,096.
PATTERNS = ("pairs", "one", "broadcast")
CROWDS = (1, 10, 100, 1000, 4000)
CROWD = CROWDS[-1]

# Stations behind each session of a crowd: 64,000 of the 65,536 addresses that a forwarding
# database may learn.
STATIONS = 16

# (sessions, stations behind each) that the model of costs is made of, beside the patterns'.
POINTS = ((10, 6400), (100, 160), (100, 640), (1000, 16), (1000, 64), (CROWD, STATIONS))

# Seconds until what has been started is steady, and of idleness.
START, IDLE = 0.5, 2

# In the lab's folder.
CONTROL = "/run/bench/control"

# {name of a contender: sessions that it has not had in time}: it is not asked for as many again.
BEYOND = {}

FOLDER = pathlib.Path(__file__).parent


class TooMany(Failed):
    """Sessions that a server does not have in time; `had` are those that it has."""

    def __init__(self, had):
        super().__init__(f"only {had} sessions in time")
        self.had = had


class Sessions:
    """Sessions from B."""

    def __init__(self, lab, url, count, *pattern):
        self.lab = lab
        lab.invite()
        words = [sys.executable, FOLDER / "sessions.py", url, count, *pattern]
        self.process = lab.start("B", words, stdin=-1, stdout=-1)
        self._line("open")

    def _line(self, what):
        line = self.process.stdout.readline().decode()
        if not line:
            raise Failed(f"sessions, {what}: {self.lab.said(self.process)}")
        if line.startswith("only "):
            raise TooMany(int(line.split()[1]))
        return line

    def count(self):
        """When, how many frames have come, and the CPU seconds of that; begins the traffic."""
        try:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.lab.check(self.process)
        frames, used = self._line("a count of frames").split()
        return time.monotonic(), int(frames), float(used)

    def end(self):
        self.lab.end(self.process)


class Control:
    """Control of a switch by its Unix socket, which is the same in every network."""

    # What `contender.start` and `serve` need for it.
    OPTIONS = ("--ctlsock", CONTROL, "--ctlport", "7867")

    @staticmethod
    def ask(method, path, body=None):
        """Seconds and octets of an answer, and the answer."""
        began = time.monotonic()
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(CONTROL)
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise Failed(f"{method} {path}: HTTP {answer.status}: {text[:200]!r}")
        return time.monotonic() - began, len(text), text

    @classmethod
    def calls(cls, *methods):
        """The same of several methods at once, as the page calls them."""
        return cls.ask("POST", "/ctl", json.dumps([
            {"jsonrpc": "2.0", "id": number, "method": f"etherws.control.{method}", "params": {}}
            for number, method in enumerate(methods)]))

    @classmethod
    def sessions(cls):
        """Sessions that there are, and that there have been."""
        answers = json.loads(cls.calls("showServer")[2])
        tunnel, = (entry["counters"] for entry in answers[0]["result"]["entries"]
                   if entry["service"] == "tunnel")
        return tunnel["sessions"], tunnel["sessions-begun"]

    @classmethod
    def learned(cls):
        """Addresses that are known."""
        text = cls.ask("GET", "/metrics")[2].decode()
        return int(re.search(r'^etherws_fdb_entries{status="learned"} (\d+)', text, re.M)[1])


def memory(lab, contender, _):
    """Resident memory of a switch for each idle session, in KiB."""
    switch, _ = contender.server(lab)

    def opened(count):
        Sessions(lab, contender.url, count)
        ports = len(json.loads(contender.ctl(lab, "A", "listport", "--json")))
        return ports, measure.memory([switch])

    few, before = opened(WARM_SESSIONS)
    many, after = opened(SESSIONS)
    if many - few != SESSIONS:
        raise Failed(f"{many - few} of {SESSIONS} sessions are open")
    return {"session_kib": (after - before) / SESSIONS / 1024}


def load(lab, contender, seconds, pattern, sessions, stations=1):
    """Frames a second that all sessions together receive, CPU of the server for each, and
    its memory, idle with all addresses learned, and at the end."""
    if sessions >= BEYOND.get(contender.name, sessions + 1):
        return {}
    processes = contender.serve(lab)
    try:
        crowd = Sessions(lab, contender.url, sessions, pattern, stations)
    except TooMany as cause:
        BEYOND[contender.name] = sessions
        return {"most_sessions": cause.had}
    time.sleep(START)
    result = {"idle_mb": measure.memory(processes) / 1e6}
    if pattern == "pairs":
        before = measure.running_seconds(processes)
        time.sleep(IDLE)
        result["idle_cpu_percent"] = (measure.running_seconds(processes) - before) / IDLE * 100
    crowd.count()
    time.sleep(START)
    began, before, used_before = crowd.count()
    cpu_before = measure.cpu_seconds(processes)
    time.sleep(seconds)
    ended, after, used_after = crowd.count()
    cpu, own = measure.cpu_seconds(processes) - cpu_before, used_after - used_before
    if after == before:
        raise Failed(f"no frame came to {sessions} sessions")
    result |= {
        "fps": (after - before) / (ended - began), "cpu_us": cpu / (after - before) * 1e6,
        "generator": own / (own + cpu), "mb": measure.memory(processes) / 1e6}
    name = f"{pattern}_{sessions}" + (f"x{stations}" if stations > 1 else "")
    return {f"{name}_{figure}": value for figure, value in result.items()}


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
    """A pair of hosts without a crowd, and in one with all its addresses; and what lists
    cost those who ask, and the pair's pings, then."""
    processes = contender.start(lab, *contender.UNGUARDED, server=Control.OPTIONS)
    to = contender.inner["A"]
    measure.reachable(lab, to)
    # The first transfer also pays for memory that all later ones use.
    measure.tcp(lab, to, 1, [])
    result = pair(lab, contender, processes, seconds, "alone")
    sessions = Sessions(lab, contender.url, CROWD, "pairs", STATIONS)
    wait_for(f"{CROWD * STATIONS} addresses", lambda: Control.learned() >= CROWD * STATIONS)
    result |= pair(lab, contender, processes, seconds, "crowded")
    result |= lists(lab, to)
    lab.check(sessions.process)
    return result


# What asks for a list of thousands, and how: the page asks for the ports each second, and
# for the rest each five.
ASKED = {
    "metrics": lambda: Control.ask("GET", "/metrics"),
    "ports": lambda: Control.calls("listPort"),
    "fdb": lambda: Control.calls("listFdb"),
    "page": lambda: Control.calls(
        "listFdb", "listHosts", "showServer", "status", "listCertificate"),
}


def lists(lab, to):
    """Time and size of each list, the median of three; and others' pings meanwhile."""
    result = {}
    for name, ask in ASKED.items():
        pings = measure.Pings(lab, to)
        answers = [ask() for _ in range(3)]
        times, _ = pings.end()
        result |= {
            f"{name}_ms": statistics.median(seconds for seconds, _, _ in answers) * 1000,
            f"{name}_kib": answers[0][1] / 1024, f"{name}_ping_max_ms": max(times)}
    return result


def threads(lab, contender, seconds, count):
    """One stream and four with so many threads in each switch."""
    contender.start(lab, "--threads", str(count))
    to = contender.inner["A"]
    measure.reachable(lab, to)
    return {
        f"threads{count}_tcp{streams}_gbit": measure.tcp(lab, to, seconds, ["-P", str(streams)])[0]
        for streams in (1, 4)
    }
