"""Draws results as small charts in one SVG, readable on light and dark pages: medians as
bars, and figures over sessions, dates or time as curves.

Takes the results as `tables.Results`; the same results give the same file.
"""

import datetime
import math
import statistics
from xml.sax.saxutils import escape

import tables
from tables import OURS

# (title, figures of which the mean is shown, factor, format, whether more is better)
PANELS = [
    ("TCP, 1 stream, Gbit/s", ("tcp1_up_gbit", "tcp1_down_gbit"), 1, "{:.2f}", True),
    ("TCP, 4 streams, Gbit/s", ("tcp4_up_gbit", "tcp4_down_gbit"), 1, "{:.2f}", True),
    ("UDP, 64 octets, 1000/s delivered", ("udp64_pps",), 1e-3, "{:.0f}", True),
    ("UDP, 1400 octets, 1000/s delivered", ("udp1400_pps",), 1e-3, "{:.0f}", True),
    ("Round trip, idle, µs", ("rtt_idle_us",), 1, "{:.0f}", False),
    ("Round trip under one TCP stream, ms", ("rtt_loaded_up_ms", "rtt_loaded_down_ms"), 1,
     "{:.2f}", False),
    ("CPU of both ends, s/GB", ("cpu_s_per_gb",), 1, "{:.1f}", False),
    ("Memory of both ends, MB", ("memory_mb",), 1, "{:.0f}", False),
]

# Of scale: (title, figure of a pattern and number of sessions)
SCALE = [
    *((f"Frames a second, {words}", "{}_{}_fps", pattern) for pattern, words in tables.PATTERNS),
    ("CPU of the server, µs a frame, in pairs", "{}_{}_cpu_us", "pairs"),
    ("CPU of the server, µs a frame, one to all", "{}_{}_cpu_us", "broadcast"),
    ("Memory of the server, idle, MB", "{}_{}_idle_mb", "pairs"),
]

# In pixels: two panels fit a page's 880; names and values have room beside the bars.
PANEL, NAMES, VALUES, ROW, HEAD = 440, 110, 60, 20, 44

# Of a chart of curves: its height, its foot, and room for the names behind the last points.
CURVES, FOOT, ASIDE = 190, 28, 90

# Colours that can be read on white and on black alike.
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #768390 } .title { font-weight: 700 }
  .kernel { fill: #9198a1 } .ours { fill: #2f81f7 } .peer { fill: #c69026 }
  polyline { fill: none !important; stroke-width: 2 }
  .kernel polyline { stroke: #9198a1 } .ours polyline { stroke: #2f81f7 }
  .peer polyline { stroke: #c69026 }
"""


def page(title, panels):
    """The SVG's text of (chart, height), two side by side."""
    parts, top, height = [], 0, 0
    for number, (panel, tall) in enumerate(panels):
        if number % 2 == 0:
            top, height = top + height, 0
        height = max(height, tall)
        parts.append(f'<g transform="translate({number % 2 * PANEL} {top})">{panel}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * PANEL} {top + height}" '
        f'width="{2 * PANEL}" height="{top + height}">\n<title>{escape(title)}'
        f"</title>\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def kind(name, contender):
    """How a contender is drawn."""
    return "kernel" if contender["kernel"] else "ours" if name.startswith(OURS) else "peer"


def head(title, corner):
    return (f'<text class="title" x="8" y="20">{escape(title)}</text>'
            f'<text x="{PANEL - 12}" y="20" text-anchor="end">{escape(corner)}</text>')


def draw(results):
    """The comparison."""
    return page("etherws beside other tunnels", filter(None, (bars(results, one) for one in PANELS)))


def bars(results, panel):
    """One chart of bars and its height; nothing where nobody has the figure."""
    title, figures, scale, pattern, more = panel
    rows = []
    for name, contender in results.contenders.items():
        values = [results.figure(name, figure) for figure in figures]
        if None not in values:
            rows.append((name, kind(name, contender), statistics.mean(values) * scale))
    if not rows:
        return None
    longest = max(value for _, _, value in rows) or 1
    room = PANEL - NAMES - VALUES
    lines = [head(title, f'{"more" if more else "less"} is better')]
    for number, (name, drawn, value) in enumerate(rows):
        y, width = HEAD - 8 + ROW * number, max(1, room * value / longest)
        lines.append(
            f'<text x="{NAMES - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{drawn}" x="{NAMES}" y="{y}" width="{width:.1f}" height="{ROW - 5}" rx="2"/>'
            f'<text x="{NAMES + width + 6:.1f}" y="{y + 12}">{pattern.format(value)}</text>')
    return "\n".join(lines), HEAD + ROW * len(rows) + 8


def curves(title, corner, lines, ticks=(), logarithmic=False):
    """One chart of curves and its height, of (name, how it is drawn, [(x from 0 to 1, y)]).
    Ticks are (x, text)."""
    values = [y for _, _, points in lines for _, y in points]
    bottom, top = (min(values), max(values)) if logarithmic else (0, max(values) or 1)
    if logarithmic:
        # Whole powers of ten.
        bottom, top = math.floor(math.log10(bottom)), math.ceil(math.log10(top))
    left, width, height = 46, PANEL - 46 - ASIDE, CURVES - HEAD - FOOT

    def place(x, y):
        y = math.log10(y) if logarithmic else y
        share = (y - bottom) / ((top - bottom) or 1)
        return left + width * x, HEAD + height * (1 - share)

    parts = [head(title, corner)]
    for at in range(bottom, top + 1) if logarithmic else (0, top):
        value = 10 ** at if logarithmic else at
        y = place(0, value)[1]
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    parts += [f'<text x="{left + width * x:.1f}" y="{CURVES - 10}" text-anchor="middle">{escape(text)}</text>'
              for x, text in ticks]
    kinds = [drawn for _, drawn, _ in lines]
    # The second of a kind is dashed.
    dashed = {name for at, (name, drawn, _) in enumerate(lines) if drawn in kinds[:at]}
    below = -math.inf
    # From the top, so that a name that would lie over another stands below it.
    for name, drawn, points in sorted(lines, key=lambda line: place(*line[2][-1])[1]):
        spots = [place(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        dots = "" if len(spots) > 50 else "".join(
            f'<circle class="{drawn}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in spots)
        dashes = ' stroke-dasharray="6 4"' if name in dashed else ""
        x, y = spots[-1]
        below = max(y, below + 14)
        parts.append(f'<g class="{drawn}"><polyline points="{path}"{dashes}/>{dots}</g>'
                     f'<text x="{x + 6:.1f}" y="{below + 4:.1f}">{escape(name)}</text>')
    return "\n".join(parts), CURVES


def short(value):
    """A number with at most three digits and a prefix."""
    for factor, prefix in ((1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"


def over_sessions(results):
    """What is measured of scale, by number of sessions; both axes are logarithmic."""
    most = max((sessions for _, sessions in tables.loads(results)), default=1)
    panels = []
    for title, figure, pattern in SCALE:
        sizes = sorted(sessions for one, sessions in tables.loads(results) if one == pattern)

        def at(sessions):
            return math.log10(sessions) / (math.log10(most) or 1)
        lines = [
            (name, kind(name, contender), points)
            for name, contender in results.contenders.items()
            if (points := [(at(sessions), value) for sessions in sizes if
                           (value := results.figure(name, figure.format(pattern, sessions)))])]
        if lines:
            panels.append(curves(title, "by sessions", lines,
                                 [(at(sessions), f"{sessions:,}") for sessions in sizes], True))
    return page("A server by its number of sessions", panels)


def over_dates(dates, rows):
    """A chart for each (title, {name of a line: [value or `None` at each date]})."""
    days = [datetime.date.fromisoformat(date).toordinal() for date in dates]
    span = (days[-1] - days[0]) or 1
    places = [(day - days[0]) / span for day in days]
    panels = []
    for title, lines in rows:
        drawn = [
            (name, "ours", points) for name, values in lines.items()
            if (points := [(x, value) for x, value in zip(places, values) if value is not None])]
        if drawn:
            panels.append(curves(title, "", drawn, [
                (places[0], dates[0][5:]), *([(places[-1], dates[-1][5:])] if len(dates) > 1 else [])]))
    return page("Key figures by date", panels)


def over_time(samples, panels):
    """Figures of the hosts A and B over time: a chart for each (title, figure)."""
    end = max(sample["at"] for sample in samples) or 1
    return page(f"Two switches over {end:.0f} s", [
        curves(title, f"{end:.0f} s", [
            (host, drawn, [(sample["at"] / end, sample[host][figure]) for sample in samples])
            for host, drawn in (("A", "ours"), ("B", "peer"))])
        for title, figure in panels])
