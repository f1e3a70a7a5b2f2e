"""What the figures say: medians, ratios to the kernel's VXLAN and to the best peer,
and the project's targets beside them. As text for a terminal and as Markdown.

Takes the results as `run` writes them; measures nothing.
"""

import re
import statistics

from fit import least_squares

# Seconds in which all sessions are to be open, as in sessions.py.
OPENING = 30

# (figure, title, unit's factor, format, whether more is better); names as in measure.py.
COLUMNS = [
    ("tcp1_up_gbit", "TCP 1 up, Gbit/s", 1, "{:.2f}", True),
    ("tcp1_down_gbit", "TCP 1 down, Gbit/s", 1, "{:.2f}", True),
    ("tcp4_up_gbit", "TCP 4 up, Gbit/s", 1, "{:.2f}", True),
    ("tcp4_down_gbit", "TCP 4 down, Gbit/s", 1, "{:.2f}", True),
    ("udp64_pps", "UDP 64, 1000/s", 1e-3, "{:.0f}", True),
    ("udp1400_pps", "UDP 1400, 1000/s", 1e-3, "{:.0f}", True),
    ("udp_segment_gbit", "UDP by UDP_SEGMENT up, Gbit/s", 1, "{:.2f}", True),
    ("udp_segment_to_tcp", "its ratio to TCP 1 up", 1, "{:.2f}", True),
    ("rtt_idle_us", "RTT idle, µs", 1, "{:.0f}", False),
    ("rtt_loaded_up_ms", "RTT under TCP up, ms", 1, "{:.2f}", False),
    ("rtt_loaded_down_ms", "RTT under TCP down, ms", 1, "{:.2f}", False),
    ("rtt_loaded_up_p99_ms", "its 99th percentile up, ms", 1, "{:.2f}", False),
    ("rtt_loaded_down_p99_ms", "its 99th percentile down, ms", 1, "{:.2f}", False),
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
CROWDED = [
    ("TCP, 1 stream, Gbit/s", "crowded_tcp1_gbit", "alone_tcp1_gbit", 1, "{:.2f}"),
    ("its CPU s/GB", "crowded_cpu_s_per_gb", "alone_cpu_s_per_gb", 1, "{:.2f}"),
    ("UDP 64, 1000/s", "crowded_udp64_pps", "alone_udp64_pps", 1e-3, "{:.0f}"),
    ("TCP, 1 stream with `--threads 2`, Gbit/s", "threads2_tcp1_gbit", "threads1_tcp1_gbit",
     1, "{:.2f}"),
    ("TCP, 4 streams with `--threads 2`, Gbit/s", "threads2_tcp4_gbit", "threads1_tcp4_gbit",
     1, "{:.2f}"),
]

# Of etherws-ws among thousands: (title, name of its figures)
LISTS = [
    ("`/metrics`", "metrics"), ("`listPort`", "ports"), ("`listFdb`", "fdb"),
    ("what the page asks for each 5 s", "page"),
]

# Of etherws-wss: (title, name of its figures)
STORMS = [("client certificates", "certificates"), ("remembered passwords", "proofs")]

# Of several links: (contender, way in the names of its figures, in words)
WAYS = [
    ("etherws-ws", "cable", "ws"), ("etherws-wss", "cable", "wss"),
    ("etherws-wss", "threads", "wss, `--threads 2`"),
    ("etherws-ws", "loss", "ws, 1 % of all packets lost"),
]

# Of each: (what, end of the figure's name, unit's factor, format)
BY_LINKS = [
    *((f"TCP {streams}, Mbit/s", f"tcp{streams}_gbit", 1e3, "{:.0f}") for streams in (1, 4, 16)),
    ("CPU s/GB of TCP 16", "cpu_s_per_gb", 1, "{:.2f}"),
    ("of it in one thread, %", "busiest", 100, "{:.0f}"),
]

# What a pattern is: its name, and in words.
PATTERNS = [("pairs", "in pairs"), ("one", "all to one"), ("broadcast", "one to all")]


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
    target("RTT idle, µs", "etherws-ws", "rtt_idle_us", vxlan=2, peer=1),
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
        return (max if self.better.get(figure, True) else min)(peers)

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


def loads(results):
    """{(pattern, sessions): name of the figures} of what was measured."""
    found = {}
    for contender in results.contenders.values():
        for figure in contender["figures"]:
            if match := re.fullmatch(r"([a-z]+)_(\d+)_fps", figure):
                found[match[1], int(match[2])] = figure.removesuffix("_fps")
    return found


# Of a pattern and a number of sessions: (figure, unit, factor, format)
SPEED = [("fps", "1000/s", 1e-3, "{:.1f}"), ("cpu_us", "µs a frame", 1, "{:.2f}")]
EXPENSE = [("mb", "MB", 1, "{:.0f}"), ("generator", "generator", 100, "{:.0f} %")]


def patterns(results, figures):
    """Rows of a table with what a server does for sessions that send in a pattern; the
    first is its head."""
    names = [name for name, contender in results.contenders.items()
             if any(figure.endswith("_fps") for figure in contender["figures"])]
    columns = [(name, *figure) for figure in figures for name in names]
    yield ["", "sessions", *(f"{name}, {unit}" for name, _, unit, _, _ in columns)]
    found = loads(results)
    for pattern, words in PATTERNS:
        for sessions in sorted(sessions for one, sessions in found if one == pattern):
            yield [words, f"{sessions:,}", *(
                shown(results.figure(name, f"{pattern}_{sessions}_{figure}"), form, factor)
                for name, figure, _, factor, form in columns)]


def most(results):
    """Who had not as many sessions in time."""
    return " ".join(
        f"{name} had {had:,.0f} of the next number of sessions after {OPENING} s."
        for name in results.contenders
        if (had := results.figure(name, "most_sessions")) is not None)


def crowded(results):
    """Rows of a table with what a crowd and threads change for a pair; the first is its head."""
    yield ["", "measured", "without", "ratio"]
    for title, figure, other, factor, pattern in CROWDED:
        value, without = (results.figure("etherws-ws", name) for name in (figure, other))
        if value is not None:
            yield [title, shown(value, pattern, factor), shown(without, pattern, factor),
                   shown(value / without if without else None)]


def storms(results):
    """Rows of a table with thousands of reconnects; the first is its head."""
    yield ["", "back after a cut, s (target ≤ 15)", "after a restart, s (≤ 15)",
           "others' ping after the cut, max ms (≤ 10)", "99th percentile, ms", "lost"]
    for title, name in STORMS:
        values = [results.figure("etherws-wss", f"storm_{name}_{figure}") for figure in (
            "cut_s", "restart_s", "ping_max_ms", "ping_p99_ms", "pings_lost")]
        if values[0] is not None:
            yield [title, *(shown(value, pattern) for value, pattern in zip(
                values, ("{:.1f}", "{:.1f}", "{:.1f}", "{:.1f}", "{:.0f}")))]


def lists(results):
    """Rows of a table with what lists cost; the first is its head."""
    yield ["", "ms", "KiB", "others' ping meanwhile, max ms"]
    for title, name in LISTS:
        values = [results.figure("etherws-ws", f"{name}_{figure}")
                  for figure in ("ms", "kib", "ping_max_ms")]
        if values[0] is not None:
            yield [title, *(shown(value, pattern) for value, pattern in zip(
                values, ("{:.0f}", "{:.0f}", "{:.1f}")))]


# (title, name of the figure, its factor): what the model says of a switch, in the unit of
# which there is one coefficient a switch, a session and an address.
COSTS = [
    ("memory, idle, KiB", "idle_mb", 1e6 / 1024), ("CPU of a frame in pairs, ns", "cpu_us", 1e3),
    ("CPU, idle, µs each second", "idle_cpu_percent", 1e4),
]


def points(results, figure):
    """[(sessions, addresses, value)] of all loads in pairs, whatever the number of stations."""
    found = {}
    for name in results.contenders.get("etherws-ws", {}).get("figures", {}):
        if match := re.fullmatch(rf"pairs_(\d+)(?:x(\d+))?_{figure}", name):
            sessions = int(match[1])
            found[sessions, sessions * int(match[2] or 1)] = results.figure("etherws-ws", name)
    return [(*point, value) for point, value in sorted(found.items())]


def fits(results):
    """(title, points, fit) of each cost that enough points were measured of."""
    for title, figure, factor in COSTS:
        taken = [(*point, value * factor) for *point, value in points(results, figure)]
        if len(taken) > 3:
            yield title, taken, least_squares(
                [(1, *point) for *point, _ in taken], [value for *_, value in taken])


def rounded(value):
    """A number with three digits at least."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def model(results):
    """Rows of a table with the model's coefficients and how well it fits; the first is its
    head."""
    yield ["", "a switch", "a session", "an address", "R²", "mean residual", "largest residual"]
    for title, _, fit in fits(results):
        off = [abs(residual) for residual in fit.residuals]
        yield [title, *map(rounded, fit.coefficients), f"{fit.determined:.2f}",
               rounded(statistics.mean(off)), rounded(max(off))]


def residuals(results):
    """Rows of a table with the points of the model, and what it misses; the first is its
    head."""
    fitted = list(fits(results))
    yield ["sessions", "addresses", *(
        words for title, _, _ in fitted for words in (title, "less the model"))]
    for at, (sessions, addresses, _) in enumerate(fitted[0][1] if fitted else ()):
        yield [f"{sessions:,}", f"{addresses:,}", *(
            f"{value:,.0f}" for _, taken, fit in fitted
            for value in (taken[at][2], fit.residuals[at]))]


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


def sections(results):
    """[(title, rows)] of what is measured at scale."""
    return [
        ("Frames that arrive, and the server's CPU", patterns(results, SPEED)),
        ("Its memory then, and the generator's part of the CPU", patterns(results, EXPENSE)),
        ("A pair among 4,000 sessions with 64,000 addresses", crowded(results)),
        ("Lists, then", lists(results)),
        ("4,000 client ports that reconnect", storms(results)),
        ("A model of costs", model(results)), ("Its points", residuals(results))]


def by_links(results):
    """Rows of a table with what several links carry; the first is its head."""
    yield ["", "", "1 link", "2", "4", "2 to 1", "4 to 1"]
    for contender, way, words in WAYS:
        for title, figure, factor, pattern in BY_LINKS:
            values = [results.figure(contender, f"links{count}_{way}_{figure}")
                      for count in (1, 2, 4)]
            if values[0]:
                yield [words, title, *(shown(value, pattern, factor) for value in values), *(
                    shown(None if value is None else value / values[0]) for value in values[1:])]


def text(raw):
    """Everything, for a terminal."""
    results = Results(raw)
    tables = [("", figures(results)), ("Targets", targets(results))]
    if raw["kind"] == "scale":
        tables = sections(results)
    if raw["kind"] == "links":
        tables = [("", by_links(results))]
    parts = [f"Medians, rounds: {raw['rounds']}, {raw['seconds']} s a transfer"]
    for title, rows in tables:
        if len(rows := list(rows)) > 1:
            parts += [title, plain(rows)]
    parts += [line for line in (most(results),) if line]
    parts += [f"left out: {name}, not installed: {what}" for name, what in raw["missing"].items()]
    parts += [f"failed: {failure}" for failure in raw["failures"]]
    return "\n\n".join(part for part in parts if part)


def origin(raw):
    """Where the figures come from, in a paragraph."""
    machine = raw["machine"]
    versions = ", ".join(
        f"{name} {contender['version']}" for name, contender in raw["contenders"].items()
        if contender["version"])
    left_out = "".join(f" Not installed: {name}." for name in raw["missing"])
    return (
        f"`{raw['command']}` on {raw['date']}: medians, rounds: {raw['rounds']},"
        f" {raw['seconds']} s a transfer. {machine['cpu']}, {machine['cores']} cores,"
        f" {machine['memory_gb']} GB; Linux {machine['kernel']}, TCP's congestion control"
        f" {machine['congestion_control']}. Load average before {machine['load_before']:.2f}."
        f" {versions}; commit {raw['commit']}.{left_out}")


def block(raw):
    """The part of docs/performance.md that changes with each run of this kind."""
    results = Results(raw)
    if raw["kind"] == "comparison":
        return "\n\n".join([
            origin(raw), "### Targets", markdown(targets(results)),
            "### All figures", markdown(figures(results))])
    if raw["kind"] == "links":
        return "\n\n".join([origin(raw), markdown(by_links(results))])
    parts = [origin(raw)]
    for title, rows in sections(results):
        if len(rows := list(rows)) > 1:
            parts += [f"### {title}", markdown(rows)]
    parts += [line for line in (most(results),) if line]
    return "\n\n".join(parts)
