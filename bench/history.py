"""Key figures of all results that are kept, by date: ratios to others where there are any,
since machines differ. As Markdown and as a drawing. Reads no files.
"""

import statistics

import chart
import tables

WS, WSS = "etherws-ws", "etherws-wss"


def own(*figures):
    """The mean of a contender's figures."""
    def value(results, contender):
        values = [results.figure(contender, figure) for figure in figures]
        return None if None in values else statistics.mean(values)
    return value


def beside(other, *figures):
    """The same beside that of another one, or of the best of the other programs."""
    def value(results, contender):
        ratios = []
        for figure in figures:
            mine = results.figure(contender, figure)
            theirs = (results.best_peer(figure)[0] if other is None
                      else results.figure(other, figure))
            if mine is None or not theirs:
                return None
            ratios.append(mine / theirs)
        return statistics.mean(ratios)
    return value


TCP1, TCP4 = ("tcp1_up_gbit", "tcp1_down_gbit"), ("tcp4_up_gbit", "tcp4_down_gbit")
LOADED = ("rtt_loaded_up_ms", "rtt_loaded_down_ms")

# (title, kind of results, contenders, their value, format)
KEYS = [
    ("TCP, 1 stream, × VXLAN", "comparison", (WS, WSS), beside("vxlan", *TCP1), "{:.2f}"),
    ("TCP, 1 stream, × best other program", "comparison", (WS, WSS), beside(None, *TCP1), "{:.2f}"),
    ("TCP, 4 streams, × VXLAN", "comparison", (WS, WSS), beside("vxlan", *TCP4), "{:.2f}"),
    ("UDP, 64 octets, × VXLAN", "comparison", (WS, WSS), beside("vxlan", "udp64_pps"), "{:.2f}"),
    ("UDP by UDP_SEGMENT, × TCP", "comparison", (WS, "etherws-netdev"), own("udp_segment_to_tcp"),
     "{:.2f}"),
    ("RTT idle, × VXLAN", "comparison", (WS, WSS), beside("vxlan", "rtt_idle_us"), "{:.2f}"),
    ("RTT idle, × best other program", "comparison", (WS, WSS), beside(None, "rtt_idle_us"),
     "{:.2f}"),
    ("RTT under one TCP stream, ms", "comparison", (WS, WSS), own(*LOADED), "{:.2f}"),
    ("CPU of both ends, s/GB", "comparison", (WS, WSS), own("cpu_s_per_gb"), "{:.2f}"),
    ("Memory of an idle session, KiB", "comparison", (WS, WSS), own("session_kib"), "{:.1f}"),
    ("Frames a second in pairs, 1,000 sessions", "scale", (WS,), own("pairs_1000_fps"), "{:,.0f}"),
    ("In pairs, 1,000 sessions, × best other program", "scale", (WS,), beside(None, "pairs_1000_fps"), "{:.2f}"),
    ("Frames a second to 4,000 sessions", "scale", (WS,), own("broadcast_4000_fps"), "{:,.0f}"),
    ("4,000 back after a cut, s", "scale", (WSS,), own("storm_certificates_cut_s"), "{:.1f}"),
]


def series(dates):
    """[(title, {contender: [value or `None` at each date]}, format)]"""
    results = {(date, kind): tables.Results(raw)
               for date, kinds in dates.items() for kind, raw in kinds.items()}
    for title, kind, contenders, value, pattern in KEYS:
        yield title, {
            name: [value(results[date, kind], name) if (date, kind) in results else None
                   for date in dates]
            for name in contenders}, pattern


def block(dates):
    """The table."""
    rows = [["", *dates]]
    for title, lines, pattern in series(dates):
        rows += [[f"{title}, {name}", *(tables.shown(value, pattern) for value in values)]
                 for name, values in lines.items() if any(value is not None for value in values)]
    return tables.markdown(rows)


def draw(dates):
    """The drawing."""
    return chart.over_dates(list(dates), [(title, lines) for title, lines, _ in series(dates)])
