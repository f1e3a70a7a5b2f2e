"""Several links for one port: what streams of TCP carry by one, two and four of them, on the bare
cable, with threads, and on a path that loses packets. Each measurement takes a lab and gives
figures, as those of `measure.py` do.
"""

import json

import measure
from lab import OUTER, wait_for

COUNTS = (1, 2, 4)

STREAMS = (1, 4, 16)

# Contender -> (way, options of both switches, the cable)
WAYS = {
    "etherws-ws": [("cable", (), "direct"), ("loss", (), "open")],
    "etherws-wss": [("cable", (), "direct"), ("threads", ("--threads", "2"), "direct")],
}

# Of the path: each way.
LOSS, DELAY = "1%", "5ms"

# At least this long with losses: a stream takes some of it to find its speed.
LOSS_SECONDS = 5


def carry(lab, contender, seconds, way, options, count):
    """Streams by so many links; the CPU of both switches for the last and most of them, and how
    much of each switch's was in its busiest thread."""
    if way == "loss":
        lose(lab, contender)
        seconds = max(seconds, LOSS_SECONDS)
    processes = contender.start(lab, *options, client=("--links", str(count)))
    to = contender.inner["A"]
    measure.reachable(lab, to)
    if count > 1:
        wait_for(f"{count} links", lambda: links_up(lab, contender) == count)
    result, name = {}, f"links{count}_{way}"
    for streams in STREAMS:
        before, threads = measure.cpu_seconds(processes), measure.by_thread(processes)
        rate = measure.tcp(lab, to, seconds, ["-P", str(streams)])[0]
        result[f"{name}_tcp{streams}_gbit"] = rate
    result[f"{name}_cpu_s_per_gb"] = (
        (measure.cpu_seconds(processes) - before) / (rate * seconds / 8))
    spent = [[now - threads.get(thread, 0) for thread, now in of_one.items()]
             for of_one in map(measure.by_thread, ([process] for process in processes))]
    result[f"{name}_busiest"] = max(max(of_one) / sum(of_one) for of_one in spent)
    return result


def links_up(lab, contender):
    """How many links of the client port are up."""
    ports = json.loads(contender.ctl(lab, "B", "--json", "listport"))
    return sum(link["state"] == "up" for port in ports for link in port.get("links", ()))


def lose(lab, contender):
    """Joins both cables by a switch that delays and loses packets. TCP is to be one that halves
    its window at each loss."""
    for host in OUTER:
        lab.on(host, "sysctl -q -w net.ipv4.tcp_congestion_control=reno")
    contender.switch(lab, "R")
    for host in OUTER:
        contender.ctl(lab, "R", "addport", "netdev", "--delay", f"out {DELAY}",
                      "--loss", f"out {LOSS}", host)
