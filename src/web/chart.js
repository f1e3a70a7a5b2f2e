// The chart of rates over the last five minutes, drawn by uPlot. Shows what `Rates` knows of
// one port or of all.

import { $, text } from "./dom.js";
import { clock, rate, si } from "./format.js";

/** Seconds shown: at first a minute, then as much as is known, up to five. */
const WINDOW = [60, 300];
const HEIGHT = 160;
const UNITS = {
    bits: { unit: "bit/s", names: ["rxBits", "txBits"] },
    frames: { unit: "frames/s", names: ["rxFrames", "txFrames"] },
};

export class Chart {
    #rates;
    #port;
    #unit = UNITS.bits;
    #plot;

    constructor(rates, port) {
        this.#rates = rates;
        this.#port = port;
        for (const radio of document.querySelectorAll("input[name=unit]")) {
            radio.addEventListener("change", () => {
                this.#unit = UNITS[radio.value];
                this.draw();
            });
        }
        // Colours are drawn, so they do not follow the theme by themselves.
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#make());
        this.#make();
        new ResizeObserver(() => this.#plot.setSize(this.#size())).observe($("chart"));
    }

    /** Shows one port, or all. */
    show(port, title) {
        this.#port = port;
        text($("traffic-of"), title);
        this.draw();
    }

    draw() {
        this.#plot.setData(this.#rates.series(this.#port, this.#unit.names));
        this.#legend();
    }

    #size() {
        return { width: Math.max($("chart").clientWidth, 100), height: HEIGHT };
    }

    #legend() {
        const [times, rx, tx] = this.#plot.data;
        const at = this.#plot.cursor.idx ?? times.length - 1;
        text($("chart-rx"), rate(rx[at] ?? null, this.#unit.unit));
        text($("chart-tx"), rate(tx[at] ?? null, this.#unit.unit));
        const chosen = this.#plot.cursor.idx !== null && this.#plot.cursor.idx !== undefined;
        text($("chart-time"), chosen && times[at] ? `at ${clock(new Date(times[at] * 1000))}` : "");
    }

    #make() {
        const data = this.#plot?.data ?? [[], [], []];
        this.#plot?.destroy();
        const style = getComputedStyle(document.documentElement);
        const colour = (name) => style.getPropertyValue(name).trim();
        const axis = {
            stroke: colour("--dim"),
            grid: { stroke: colour("--line"), width: 1 },
            ticks: { show: false },
            font: "11px system-ui, sans-serif",
        };
        const line = (name) => ({
            stroke: colour(`--${name}`),
            fill: colour(`--${name}-fill`),
            width: 1.5,
            points: { show: false },
        });
        const options = {
            ...this.#size(),
            legend: { show: false },
            cursor: { y: false, drag: { x: false, y: false } },
            scales: {
                x: { time: true, range: (plot) => span(plot.data[0]) },
                // Never so near that noise looks like traffic.
                y: { range: (_, __, max) => [0, Math.max((max ?? 0) * 1.1, 10)] },
            },
            axes: [
                {
                    ...axis,
                    size: 22,
                    space: 80,
                    values: (_, ticks) => ticks.map((tick) => clock(new Date(tick * 1000))),
                    incrs: [10, 30, 60, 120],
                },
                { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => si(tick)) },
            ],
            series: [{}, line("rx"), line("tx")],
            hooks: { setCursor: [() => this.#plot && this.#legend()] },
        };
        this.#plot = new uPlot(options, data, $("chart"));
    }
}

/** First and last second to show. */
function span(times) {
    const end = times.at(-1) ?? Date.now() / 1000;
    const known = end - (times[0] ?? end);
    return [end - Math.min(Math.max(known, WINDOW[0]), WINDOW[1]), end];
}
