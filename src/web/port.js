// What there is to know of the port that is open: details, limits and counters of showPort,
// its interface, and buttons for what the table has no room for.

import { h, keyed, text } from "./dom.js";
import { count } from "./format.js";
import { stateOf } from "./ports.js";

/** The counters that the table's columns are, in their order. */
const FRAMES = ["frame-rx", "octets-rx", "frame-tx", "octets-tx"];

export class PortPane {
    element;
    #lists = {};
    #port = null;

    /** `actions`: {set, capture}, each called with a port. */
    constructor(actions) {
        const button = (name, label) => h("button", {
            type: "button", "data-action": name, click: () => this.#port && actions[name](this.#port),
        }, label);
        const list = (name, title) => {
            this.#lists[name] = h("dl", { "data-list": name });
            return h("section", { "aria-label": title }, h("h3", null, title), this.#lists[name]);
        };
        this.element = h("div", { class: "detail" },
            // First, so that they stay where they are when the rest comes.
            h("div", { class: "actions" },
                button("set", "Set up…"), button("capture", "Capture…")),
            list("about", "Port"), list("settings", "Settings"), list("frames", "Frames"), list("discards", "Discards"),
            list("incidents", "Incidents"), list("limits", "Limits"));
    }

    /** Forgets the former port. */
    clear(port) {
        this.#port = port;
        Object.values(this.#lists).forEach((list) => fill(list, []));
    }

    /** Shows what showPort says, and listInterface if the port has an interface. */
    update(report, own) {
        this.#port = report;
        const counters = Object.entries(report.counters);
        const of = (wanted) => counters.filter(([name]) => wanted(name));
        const discard = (name) => name.startsWith("discard-");
        fill(this.#lists.about, [
            ["type", report.type],
            ["target", report.target],
            ["state", stateOf(report)],
            ...(report.error ? [["reason", report.error]] : []),
            ...(report.stp ? [["spanning tree", `${report.stp.role}, ${report.stp.state}`]] : []),
            ...Object.entries(report.details),
            ...(own ? [["mtu", count(own.mtu)]] : []),
            ...(own?.addresses ?? []).map((address, at) => [at ? `address ${at + 1}` : "address", address]),
        ]);
        fill(this.#lists.settings, Object.entries(report.settings)
            .filter(([, { value }]) => value !== "")
            .map(([name, { value, origin, profile }]) =>
                [name, origin === "own" ? value : `${value} (${profile ? `profile ${profile}` : origin})`]));
        fill(this.#lists.frames, FRAMES.filter((name) => name in report.counters)
            .map((name) => [name, count(report.counters[name])]));
        fill(this.#lists.discards, of(discard)
            .map(([name, value]) => [name.replace("discard-", ""), count(value), value > 0]));
        fill(this.#lists.incidents, of((name) => !discard(name) && !FRAMES.includes(name))
            .map(([name, value]) => [name, count(value), value > 0]));
        fill(this.#lists.limits, Object.entries(report.limits).map(([name, { value, limit }]) => {
            const top = /^\d+$/.test(limit) ? count(Number(limit)) : limit;
            return [name, `${count(value)} of ${top}`, /^\d+$/.test(limit) && value >= Number(limit)];
        }));
    }
}

/** Names and values; what is not as it should be stands out. */
function fill(list, lines) {
    keyed(list, lines, ([name]) => name,
        ([name]) => h("div", { "data-name": name }, h("dt", null, name), h("dd")),
        (line, [, value, marked]) => {
            text(line.lastChild, value);
            line.classList.toggle("some", Boolean(marked));
        });
}
