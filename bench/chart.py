"""Draws the medians as small bar charts in one SVG, readable on light and dark pages.

Takes the results as `tables.Results`; the same results give the same file.
"""

import statistics
from xml.sax.saxutils import escape

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

# In pixels: two panels fit a page's 880; names and values have room beside the bars.
PANEL, NAMES, VALUES, ROW, HEAD = 440, 110, 60, 20, 44

# Colours that can be read on white and on black alike.
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #768390 } .title { font-weight: 700 }
  .kernel { fill: #9198a1 } .ours { fill: #2f81f7 } .peer { fill: #c69026 }
"""


def draw(results):
    """The SVG's text."""
    parts, top, height = [], 0, 0
    drawn = [panel for panel in map(lambda panel: bars(results, panel), PANELS) if panel]
    for number, (panel, rows) in enumerate(drawn):
        if number % 2 == 0:
            top, height = top + height, 0
        height = max(height, HEAD + ROW * rows + 8)
        parts.append(f'<g transform="translate({number % 2 * PANEL} {top})">{panel}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * PANEL} {top + height}" '
        f'width="{2 * PANEL}" height="{top + height}">\n<title>etherws beside other tunnels'
        f"</title>\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def bars(results, panel):
    """One chart and its number of rows; nothing where nobody has the figure."""
    title, figures, scale, pattern, more = panel
    rows = []
    for name, contender in results.contenders.items():
        values = [results.figure(name, figure) for figure in figures]
        if None not in values:
            kind = ("kernel" if contender["kernel"] else
                    "ours" if name.startswith(OURS) else "peer")
            rows.append((name, kind, statistics.mean(values) * scale))
    if not rows:
        return None
    longest = max(value for _, _, value in rows) or 1
    room = PANEL - NAMES - VALUES
    lines = [f'<text class="title" x="8" y="20">{escape(title)}</text>'
             f'<text x="{PANEL - 12}" y="20" text-anchor="end">'
             f'{"more" if more else "less"} is better</text>']
    for number, (name, kind, value) in enumerate(rows):
        y, width = HEAD - 8 + ROW * number, max(1, room * value / longest)
        lines.append(
            f'<text x="{NAMES - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="{NAMES}" y="{y}" width="{width:.1f}" height="{ROW - 5}" rx="2"/>'
            f'<text x="{NAMES + width + 6:.1f}" y="{y + 12}">{pattern.format(value)}</text>')
    return "\n".join(lines), len(rows)


def over_time(samples, panels):
    """The SVG's text of figures over time, one panel for each (title, figure) and in it
    a line for each of the hosts A and B."""
    height, end = 160, max(sample["at"] for sample in samples) or 1
    parts = []
    for number, (title, figure) in enumerate(panels):
        most = max(sample[host][figure] for sample in samples for host in "AB") or 1
        lines = [f'<text class="title" x="8" y="20">{escape(title)}</text>'
                 f'<text x="{2 * PANEL - 12}" y="20" text-anchor="end">most: {most:.0f}</text>']
        for host, kind in (("A", "ours"), ("B", "peer")):
            points = " ".join(
                f"{8 + (2 * PANEL - 20) * sample['at'] / end:.1f},"
                f"{height - 12 - (height - HEAD) * sample[host][figure] / most:.1f}"
                for sample in samples)
            lines.append(f'<polyline class="{kind}" points="{points}" '
                         'style="fill:none;stroke:currentColor"/>')
        parts.append(f'<g transform="translate(0 {number * height})">' + "\n".join(lines) + "</g>")
    style = STYLE + " .ours { color: #2f81f7 } .peer { color: #c69026 }"
    total = height * len(panels)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * PANEL} {total}" '
            f'width="{2 * PANEL}" height="{total}">\n<title>Two switches over {end:.0f} s'
            f"</title>\n<style>{style}</style>\n" + "\n".join(parts) + "\n</svg>\n")
