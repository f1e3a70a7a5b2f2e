"""What the figures say: medians, ratios to the kernel's VXLAN and to the best peer,
and the project's targets beside them. As text for a terminal and as Markdown.

Takes the results as `run` writes them; measures nothing.
"""

import statistics

# (figure, title, unit's factor, format, whether more is better); names as in measure.py.
COLUMNS = [
    ("tcp1_up_gbit", "TCP 1 up, Gbit/s", 1, "{:.2f}", True),
    ("tcp1_down_gbit", "TCP 1 down, Gbit/s", 1, "{:.2f}", True),
    ("tcp4_up_gbit", "TCP 4 up, Gbit/s", 1, "{:.2f}", True),
    ("tcp4_down_gbit", "TCP 4 down, Gbit/s", 1, "{:.2f}", True),
    ("udp64_pps", "UDP 64, 1000/s", 1e-3, "{:.0f}", True),
    ("udp1400_pps", "UDP 1400, 1000/s", 1e-3, "{:.0f}", True),
    ("rtt_idle_us", "RTT idle, µs", 1, "{:.0f}", False),
    ("rtt_loaded_up_ms", "RTT under TCP up, ms", 1, "{:.2f}", False),
    ("rtt_loaded_down_ms", "RTT under TCP down, ms", 1, "{:.2f}", False),
    ("cpu_s_per_gb", "CPU s/GB", 1, "{:.2f}", False),
    ("memory_mb", "memory, MB", 1, "{:.1f}", False),
    ("retransmits_up", "retransmits up", 1, "{:.0f}", False),
    ("retransmits_down", "retransmits down", 1, "{:.0f}", False),
    ("checksum_errors", "checksum errors", 1, "{:.0f}", False),
    ("rtt_bottleneck_ms", "RTT at 200 Mbit/s, ms", 1, "{:.1f}", False),
    ("tcp1_bottleneck_gbit", "TCP at 200 Mbit/s, Gbit/s", 1, "{:.3f}", True),
    ("session_kib", "KiB a session", 1, "{:.1f}", False),
]

OURS = "etherws-"

# Of etherws-ws: (title, figure, what it is compared with, unit's factor, format)
SCALE = [
    ("TCP, 1 stream among 1,000 idle sessions, Gbit/s", "crowded_tcp1_gbit", "alone_tcp1_gbit",
     1, "{:.2f}"),
    ("its CPU s/GB", "crowded_cpu_s_per_gb", "alone_cpu_s_per_gb", 1, "{:.2f}"),
    ("UDP 64 among 1,000 idle sessions, 1000/s", "crowded_udp64_pps", "alone_udp64_pps",
     1e-3, "{:.0f}"),
    ("TCP, 1 stream with 10,000 addresses learned, Gbit/s", "learned_tcp1_gbit", "alone_tcp1_gbit",
     1, "{:.2f}"),
    ("its CPU s/GB", "learned_cpu_s_per_gb", "alone_cpu_s_per_gb", 1, "{:.2f}"),
    ("UDP 64 with 10,000 addresses learned, 1000/s", "learned_udp64_pps", "alone_udp64_pps",
     1e-3, "{:.0f}"),
    ("TCP, 1 stream with `--threads 2`, Gbit/s", "threads2_tcp1_gbit", "threads1_tcp1_gbit",
     1, "{:.2f}"),
    ("TCP, 4 streams with `--threads 2`, Gbit/s", "threads2_tcp4_gbit", "threads1_tcp4_gbit",
     1, "{:.2f}"),
    ("broadcast to 1,000 sessions, 1000 frames/s at all of them", "broadcast_pps", None,
     1e-3, "{:.0f}"),
]


def target(title, contender, figure, at_most=None, vxlan=None, peer=None, veth=None):
    """A target: an absolute limit, or a factor to what another one does."""
    return title, contender, figure, {
        "": at_most, "VXLAN": vxlan, "best peer": peer, "bare path": veth}


TARGETS = [
    *(target(f"TCP, 1 stream, {kind}, {way}, Gbit/s", f"etherws-{kind}", f"tcp1_{way}_gbit", **factors)
      for kind, factors in (("ws", {"vxlan": 0.60, "peer": 4}), ("wss", {"vxlan": 0.50}))
      for way in ("up", "down")),
    *(target(f"TCP, 4 streams, ws, {way}, Gbit/s", "etherws-ws", f"tcp4_{way}_gbit", vxlan=0.40)
      for way in ("up", "down")),
    target("UDP 64 bytes, 1000/s delivered", "etherws-ws", "udp64_pps", vxlan=0.90),
    target("RTT idle, µs", "etherws-ws", "rtt_idle_us", vxlan=2),
    *(target(f"RTT under one TCP stream {way}, ms", "etherws-ws", f"rtt_loaded_{way}_ms", at_most=1.5)
      for way in ("up", "down")),
    target("CPU seconds of both processes a GB, ws", "etherws-ws", "cpu_s_per_gb", at_most=1.6),
    target("resident memory of both processes, MB", "etherws-ws", "memory_mb", at_most=40),
    target("an idle session of 1,000, KiB", "etherws-ws", "session_kib", at_most=64),
    target("ping under load at 200 Mbit/s, ms", "etherws-ws", "rtt_bottleneck_ms", veth=1.3),
]


class Results:
    """The results, by median."""

    def __init__(self, results):
        self.raw = results
        self.contenders = results["contenders"]
        self.better = {figure: more for figure, _, _, _, more in COLUMNS}

    def figure(self, contender, figure):
        """The median of a figure over all rounds, or `None` where it was not taken."""
        taken = self.contenders.get(contender, {}).get("figures", {}).get(figure)
        return statistics.median(taken) if taken else None

    def best_peer(self, figure):
        """The best of the other programs in this, and how it does."""
        peers = [
            (value, name) for name, contender in self.contenders.items()
            if not contender["kernel"] and not name.startswith(OURS)
            and (value := self.figure(name, figure)) is not None
        ]
        if not peers:
            return None, None
        return (max if self.better[figure] else min)(peers)

    def against(self, contender, figure):
        """A figure's ratios: to VXLAN, to the best peer, and who that is."""
        value, vxlan = self.figure(contender, figure), self.figure("vxlan", figure)
        best, name = self.best_peer(figure)
        return (value / vxlan if value is not None and vxlan else None,
                value / best if value is not None and best else None, name)

    def judge(self, contender, figure, factors):
        """[(what is wanted, whether it is met or `None` where that cannot be said)]"""
        value, more = self.figure(contender, figure), self.better[figure]
        other = {
            "": 1, "VXLAN": self.figure("vxlan", figure), "best peer": self.best_peer(figure)[0],
            "bare path": self.figure("veth", figure)}
        for whom, factor in factors.items():
            if factor is None:
                continue
            words = f"{'≥' if more else '≤'} {factor:g}" + (f" × {whom}" if whom else "")
            if value is None or other[whom] is None:
                yield words, None
            else:
                limit = factor * other[whom]
                yield words, value >= limit if more else value <= limit


def shown(value, pattern="{:.2f}", scale=1):
    return "–" if value is None else pattern.format(value * scale)


def figures(results):
    """Rows of a table with all contenders; the first is its head."""
    taken = [column for column in COLUMNS
             if any(column[0] in c["figures"] for c in results.contenders.values())]
    yield ["", *results.contenders]
    for figure, title, scale, pattern, _ in taken:
        yield [title, *(shown(results.figure(name, figure), pattern, scale)
                        for name in results.contenders)]


def targets(results):
    """Rows of a table with the targets beside what was measured."""
    formats = {figure: (pattern, scale) for figure, _, scale, pattern, _ in COLUMNS}
    yield ["", "target", "measured", "VXLAN", "× VXLAN", "best peer", "× peer", ""]
    for title, contender, figure, factors in TARGETS:
        value = results.figure(contender, figure)
        if value is None:
            continue
        judged = list(results.judge(contender, figure, factors))
        to_vxlan, to_peer, peer = results.against(contender, figure)
        best = results.best_peer(figure)[0]
        verdicts = [met for _, met in judged]
        verdict = "missed" if False in verdicts else "?" if None in verdicts else "met"
        pattern, scale = formats[figure]
        yield [title, ", ".join(words for words, _ in judged), shown(value, pattern, scale),
               shown(results.figure("vxlan", figure), pattern, scale), shown(to_vxlan),
               f"{shown(best, pattern, scale)} ({peer})" if peer else "–", shown(to_peer), verdict]


def scale(results):
    """Rows of a table with what many sessions, addresses and threads change; the first
    is its head."""
    yield ["", "measured", "without", "ratio"]
    for title, figure, other, factor, pattern in SCALE:
        value = results.figure("etherws-ws", figure)
        without = results.figure("etherws-ws", other) if other else None
        if value is not None:
            yield [title, shown(value, pattern, factor), shown(without, pattern, factor),
                   shown(value / without if without else None)]


def plain(rows):
    """Rows as text in columns: words to the left, figures to the right."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) if at else cell.ljust(width)
                  for at, (cell, width) in enumerate(zip(row, widths))).rstrip()
        for row in rows)


def markdown(rows):
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    columns = head.count("|") - 2
    return "\n".join([head, "| --- " + "| ---: " * columns + "|", *rest])


def text(raw):
    """Everything, for a terminal."""
    results = Results(raw)
    parts = [f"Medians, rounds: {raw['rounds']}, {raw['seconds']} s a transfer",
             plain(figures(results))]
    if len(table := list(targets(results))) > 1:
        parts += ["Targets", plain(table)]
    if len(table := list(scale(results))) > 1:
        parts += ["Scale", plain(table)]
    parts += [f"left out: {name}, not installed: {what}" for name, what in raw["missing"].items()]
    parts += [f"failed: {failure}" for failure in raw["failures"]]
    return "\n\n".join(parts)


def block(raw):
    """The part of docs/performance.md that changes with each run."""
    results, machine = Results(raw), raw["machine"]
    versions = ", ".join(
        f"{name} {contender['version']}" for name, contender in results.contenders.items()
        if contender["version"])
    left_out = "".join(f" Not installed: {name}." for name in raw["missing"])
    parts = [
        f"`{raw['command']}` on {raw['date']}: medians, rounds: {raw['rounds']},"
        f" {raw['seconds']} s a transfer. {machine['cpu']}, {machine['cores']} cores,"
        f" {machine['memory_gb']} GB; Linux {machine['kernel']}, TCP's congestion control"
        f" {machine['congestion_control']}. Load average before {machine['load_before']:.2f}."
        f" {versions}; commit {raw['commit']}.{left_out}",
        "### Targets", markdown(targets(results)),
        "### All figures", markdown(figures(results)),
    ]
    if len(table := list(scale(results))) > 1:
        parts += ["### Scale", markdown(table)]
    return "\n\n".join(parts)
