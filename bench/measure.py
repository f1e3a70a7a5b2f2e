"""The measurements: each takes a joined lab and gives figures. Higher is not always
better; `tables.py` knows what is.

Units are in the names: `_gbit` is 10^9 bits a second of TCP payload received, `_pps`
datagrams a second that arrived, `_us` and `_ms` times, `_mb` 10^6 octets.
"""

import json
import os
import pathlib
import re
import signal
import statistics
import sys
import time

from lab import INNER, Failed, wait_for

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

FOLDER = pathlib.Path(__file__).parent

# Seconds between pings: often enough for the slowest of a hundred, too rare to be load.
PING_INTERVAL = 0.01

# At least this long through a bottleneck: its queue fills and drains in turns of about
# a second.
BOTTLENECK_SECONDS = 5


def everything(lab, contender, processes, seconds):
    """All that is compared between contenders."""
    to = contender.inner["A"]
    result = {"rtt_idle_us": statistics.median(ping(lab, to, 100)) * 1000}
    before, octets = cpu_seconds(processes), 0
    for direction, options in (("up", []), ("down", ["-R"])):
        rate, retransmits, loaded = tcp(lab, to, seconds, options, with_ping=True)
        octets += rate * 1e9 / 8 * seconds
        result |= {f"tcp1_{direction}_gbit": rate, f"retransmits_{direction}": retransmits}
        result[f"rtt_loaded_{direction}_ms"] = statistics.median(loaded)
        result[f"rtt_loaded_{direction}_p99_ms"] = percentile(loaded, 99)
    if processes:
        result["cpu_s_per_gb"] = (cpu_seconds(processes) - before) / (octets / 1e9)
    for direction, options in (("up", []), ("down", ["-R"])):
        result[f"tcp4_{direction}_gbit"], _, _ = tcp(lab, to, seconds, ["-P", "4", *options])
    for length in (64, 1400):
        result[f"udp{length}_pps"] = udp(lab, to, seconds, length)
    result["udp_segment_gbit"] = datagrams(lab, to, seconds)
    result["udp_segment_to_tcp"] = result["udp_segment_gbit"] / result["tcp1_up_gbit"]
    if processes:
        result["memory_mb"] = memory(processes) / 1e6
    result["checksum_errors"] = sum(checksum_errors(lab, host) for host in INNER)
    return result


def reachable(lab, to):
    """Waits until B's pings to this address are answered."""
    def answered():
        try:
            return lab.on("B", f"ping -n -c 1 -W 1 {to}")
        except Failed:
            return None
    wait_for(f"an answer from {to}", answered)


def ping(lab, to, count, interval=PING_INTERVAL):
    """Round trips in milliseconds, from B."""
    return answers(lab.on("B", f"ping -n -i {interval} -c {count} {to}"))


def answers(said):
    """The round trips that ping has written down."""
    times = [float(time) for time in re.findall(r"time=([0-9.]+) ms", said)]
    if not times:
        raise Failed(f"no ping was answered: {said}")
    return times


def percentile(times, which):
    """The time that so many of a hundred do not exceed."""
    return sorted(times)[max(0, -(-len(times) * which // 100) - 1)]


class Pings:
    """Pings from B until they are asked for."""

    def __init__(self, lab, to):
        self.lab = lab
        self.process = lab.start("B", f"ping -n -i {PING_INTERVAL} {to}")

    def end(self):
        """Round trips in milliseconds, and how many were not answered."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        self.process.log.seek(0)
        said = self.process.log.read().decode()
        sent, answered = re.search(r"(\d+) packets transmitted, (\d+) received", said).groups()
        return answers(said), int(sent) - int(answered)


def iperf(lab, to, seconds, options):
    """Starts one transfer of iperf3; gives a function that waits for both ends' reports."""
    server = lab.start("A", "iperf3 -s -1 -J", stdout=open(lab.folder / "server.json", "w"))
    lab.listens(server, 5201)
    client = lab.start("B", ["iperf3", "-J", "-c", to, "-t", str(seconds), *options],
                       stdout=open(lab.folder / "client.json", "w"))

    def reports():
        try:
            # A flood of datagrams may delay or lose the words that end it.
            client.wait(seconds + 20)
            server.wait(10)
        finally:
            lab.end(client)
            lab.end(server)
        both = [json.loads((lab.folder / f"{end}.json").read_text()) for end in ("client", "server")]
        if "error" in both[0]:
            raise Failed(f"iperf3: {both[0]['error']}")
        return both

    return reports


def tcp(lab, to, seconds, options, with_ping=False):
    """Gbit/s received, retransmits, and the pings meanwhile in milliseconds."""
    reports = iperf(lab, to, seconds, options)
    loaded = None
    if with_ping:
        # The first tenth is the transfer's start.
        time.sleep(seconds / 10)
        loaded = ping(lab, to, int(seconds * 0.8 / PING_INTERVAL))
    end = reports()[0]["end"]
    rate = end["sum_received"]["bits_per_second"] / 1e9
    return rate, end["sum_sent"]["retransmits"], loaded


def udp(lab, to, seconds, length):
    """Datagrams a second that arrived, of those sent as fast as can be."""
    server = iperf(lab, to, seconds, ["-u", "-b", "0", "-l", str(length)])()[1]
    return sum(interval["sum"]["bytes"] for interval in server["intervals"]) / length / seconds


def datagrams(lab, to, seconds):
    """Gbit/s that arrived of datagrams sent by UDP_SEGMENT, as fast as can be."""
    program = [sys.executable, FOLDER / "datagrams.py"]
    taker = lab.start("A", [*program, "take", seconds])
    wait_for("a receiver of datagrams", lambda: lab.said(taker).startswith("ready"))
    sender = lab.start("B", [*program, "send", to, seconds + 1])
    try:
        if taker.wait(seconds + 20) != 0:
            raise Failed(f"datagrams.py: {lab.said(taker)}")
        octets = float(lab.said(taker).split()[1])
    finally:
        lab.end(sender)
        lab.end(taker)
    return octets * 8 / 1e9


def family(processes):
    """The processes with all that they have started."""
    parents = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = {process.pid for process in processes}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu_seconds(processes):
    """User and system time of these processes so far."""
    total = 0
    for pid in family(processes):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def running_seconds(processes):
    """The same of threads that there are, to the microsecond."""
    return sum(by_thread(processes).values())


def by_thread(processes):
    """The same of each thread, by its number."""
    return {
        path.parent.name: int(path.read_text().split()[0]) / 1e9 for pid in family(processes)
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")}


def memory(processes):
    """Resident octets of these processes."""
    return PAGE * sum(
        int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in family(processes)
    )


def checksum_errors(lab, host):
    """Packets that the kernel of a host found to be damaged, as `nstat` counts them."""
    lines = lab.on(host, "cat /proc/net/snmp").splitlines()
    total = 0
    for names, values in zip(lines[::2], lines[1::2]):
        total += sum(
            int(value) for name, value in zip(names.split(), values.split())
            if name == "InCsumErrors"
        )
    return total


def bottleneck(lab, contender, processes, seconds):
    """Ping under one TCP stream through a narrow cable."""
    to = contender.inner["A"]
    rate, _, loaded = tcp(lab, to, max(seconds, BOTTLENECK_SECONDS), [], with_ping=True)
    return {"rtt_bottleneck_ms": statistics.median(loaded), "tcp1_bottleneck_gbit": rate}
