// The table of ports: what listPort says of each, its rates, and what can be done with it.
// One port can be open; its row is followed by all that showPort says (`port.js`).

import { $, h, keyed, matches, onFilter, text } from "./dom.js";
import { count, octets, si } from "./format.js";

/** Rows shown: more are found by the filter, and would cost a browser a second each. */
const SHOWN = 250;

const SVG = "http://www.w3.org/2000/svg";
const SPARK = { width: 90, height: 18 };

/** Cells of numbers that come each second, with the words for narrow screens. */
const RATES = [
    ["rxBits", "RX bit/s"], ["rxFrames", "RX frames/s"],
    ["txBits", "TX bit/s"], ["txFrames", "TX frames/s"],
];

/** Frames discarded for any reason. */
const discards = (port) => Object.values(port.discards ?? {}).reduce((sum, one) => sum + one, 0);

/** The state as `ctl listport` has it. */
export const stateOf = (port) => (port.shut ? "shut" : port.state ?? "up");

/** A port in words, for titles. */
export const nameOf = (port) => `port ${port.name ?? port.port} (${port.type} ${port.target})`;

/** A link of a port of several, in words. */
const linkOf = ({ link, state, target, error, ...of }) =>
    `Link ${link}: ${state}, ${target}, RX ${octets(of["octets-rx"])}, TX ${octets(of["octets-tx"])}${error ? `: ${error}` : ""}`;

/** What ends it: a session is its client's, and no port that was made here. */
export const endOf = (port) => (port.type === "server" ? "Disconnect" : "Delete");

/** Columns of the table. */
const COLUMNS = "15";

export class Ports {
    #rates;
    #actions;
    #words = [];
    #list = [];
    #pane;
    #sort = "port";
    /** Number of the port that is open, or 0. */
    open = 0;

    /** `actions`: {open, shut, remove}, each called with a port. */
    constructor(rates, pane, actions) {
        this.#rates = rates;
        this.#pane = pane;
        this.#actions = actions;
        onFilter($("ports-filter"), (words) => {
            this.#words = words;
            this.#draw();
        });
        for (const button of document.querySelectorAll("[data-sort]")) {
            button.addEventListener("click", () => this.#sortBy(button.dataset.sort));
        }
    }

    /** The largest first, or by number; a second click goes back to that. */
    #sortBy(name) {
        this.#sort = name === this.#sort ? "port" : name;
        for (const { dataset, parentElement } of document.querySelectorAll("[data-sort]")) {
            const order = dataset.sort === "port" ? "ascending" : "descending";
            parentElement.setAttribute("aria-sort", dataset.sort === this.#sort ? order : "none");
        }
        this.#draw();
    }

    #sorted(list) {
        if (this.#sort === "port") {
            return list;
        }
        const value = RATES.some(([name]) => name === this.#sort)
            ? (port) => this.#rates.last(port.port, this.#sort) ?? -1
            : this.#sort === "discards" ? discards : (port) => port[this.#sort];
        return [...list].sort((a, b) => value(b) - value(a) || a.port - b.port);
    }

    /** Takes what listPort says. */
    update(list) {
        this.#list = list;
        if (this.open && !this.find(this.open)) {
            this.toggle(null);
        }
        this.#draw();
    }

    /** A port by its number. */
    find(number) {
        return this.#list.find((port) => port.port === number);
    }

    /** Opens a port, or closes it if it is open. */
    toggle(port) {
        this.open = port && port.port !== this.open ? port.port : 0;
        this.#actions.open(this.find(this.open) ?? null);
        this.#draw();
    }

    /** Opens a port, and brings it into view. */
    show(number) {
        if (this.open !== number && this.find(number)) {
            this.toggle(this.find(number));
        }
        $("ports-rows").querySelector(`[data-port="${number}"]`)?.scrollIntoView({ block: "center" });
    }

    #draw() {
        const line = (port) =>
            `${port.port} ${port.name ?? ""} ${port.type} ${port.target} ${port.user ?? ""} ${stateOf(port)}`.toLowerCase();
        const found = this.#list.filter((port) => port.port === this.open || matches(line(port), this.#words));
        const up = this.#list.filter((port) => stateOf(port) === "up").length;
        text($("sum-ports"), `${count(up)} of ${count(this.#list.length)}`);
        text($("ports-count"), found.length < this.#list.length
            ? `${count(found.length)} of ${count(this.#list.length)}` : count(found.length));
        const more = $("ports-more");
        more.hidden = found.length > 0 && found.length <= SHOWN;
        text(more, found.length > SHOWN
            ? `${count(found.length - SHOWN)} more: use the filter.`
            : this.#list.length ? "No port matches." : "No ports yet: “Add port…” makes one.");
        const items = this.#sorted(found).slice(0, SHOWN).flatMap((port) => [
            { key: port.port, make: () => this.#row(port), fill: (row) => this.#fill(row, port) },
            ...(port.links ?? []).map((link) => ({
                key: `link ${port.port} ${link.link}`, make: () => this.#lineRow("link"),
                fill: (row) => text(row.firstChild, linkOf(link)),
            })),
            port.error && {
                key: `reason ${port.port}`, make: () => this.#lineRow("reason"),
                fill: (row) => text(row.firstChild, `Port ${port.port}: ${port.error}`),
            },
            port.port === this.open && { key: "pane", make: () => this.#paneRow(), fill: () => {} },
        ].filter(Boolean));
        keyed($("ports-rows"), items, ({ key }) => key, ({ make }) => make(), (row, { fill }) => fill(row));
    }

    #paneRow() {
        return h("tr", { role: "row", class: "pane" }, h("td", { role: "cell", colspan: COLUMNS }, this.#pane));
    }

    /** A link of a port, or why it is not up: below it, for fingers and screen readers too. */
    #lineRow(kind) {
        return h("tr", { role: "row", class: kind }, h("td", { role: "cell", colspan: COLUMNS }));
    }

    #row(port) {
        const number = port.port;
        const now = () => this.find(number);
        const cell = (name, label, kind) =>
            h("td", { role: "cell", "data-cell": name, "data-label": label, class: kind });
        const button = (name, label, act) => h("button", {
            type: "button", "data-action": name, "aria-label": `${label} port ${number}`,
            click: () => now() && act(now()),
        }, label);
        const toggle = h("button", {
            type: "button", class: "number", "data-action": "open",
            "aria-label": `Port ${number}`, "aria-expanded": "false",
            click: () => now() && this.toggle(now()),
        }, String(number));
        const spark = document.createElementNS(SVG, "svg");
        spark.setAttribute("viewBox", `0 0 ${SPARK.width} ${SPARK.height}`);
        spark.setAttribute("aria-hidden", "true");
        spark.append(document.createElementNS(SVG, "path"));
        const sparkCell = cell("spark", "", "spark");
        sparkCell.append(spark);
        return h("tr", { role: "row", "data-port": number },
            h("th", { role: "rowheader", scope: "row", "data-cell": "port" }, toggle),
            cell("name", "", "text"), cell("type"), cell("target", "", "text"), cell("user", "", "text"), cell("state"),
            ...RATES.slice(0, 2).map(([name, label]) => cell(name, label, "number")),
            cell("rx", "RX frames", "number"),
            ...RATES.slice(2).map(([name, label]) => cell(name, label, "number")),
            cell("tx", "TX frames", "number"), cell("discards", "Discards", "number"), sparkCell,
            h("td", { role: "cell", "data-cell": "actions", class: "actions" },
                button("shut", "Shut", (port) => this.#actions.shut(port)),
                button("delete", endOf(port), (port) => this.#actions.remove(port))));
    }

    #fill(row, port) {
        const cells = row.cells_ ??= Object.fromEntries(
            [...row.children].map((cell) => [cell.dataset.cell, cell]));
        const state = stateOf(port);
        text(cells.type, port.type);
        text(cells.name, port.name ?? "");
        text(cells.target, port.target);
        cells.target.title = port.target;
        text(cells.user, port.user ?? "");
        text(cells.state, state);
        cells.state.dataset.state = state;
        cells.state.title = port["stp-role"] ? `spanning tree: ${port["stp-role"]}, ${port["stp-state"]}` : "";
        for (const [name] of RATES) {
            text(cells[name], si(this.#rates.last(port.port, name)));
        }
        text(cells.rx, count(port.rx));
        text(cells.tx, count(port.tx));
        text(cells.discards, count(discards(port)));
        cells.discards.classList.toggle("some", discards(port) > 0);
        cells.spark.firstChild.firstChild.setAttribute("d", spark(this.#rates.minute(port.port)));
        const open = port.port === this.open;
        row.classList.toggle("open", open);
        cells.port.firstChild.setAttribute("aria-expanded", String(open));
        const shut = cells.actions.firstChild;
        const word = port.shut ? "No shut" : "Shut";
        text(shut, word);
        shut.setAttribute("aria-label", `${word} port ${port.port}`);
    }
}

/** The path of a sparkline, its own largest value at the top; the newest at the right. */
function spark(values) {
    const top = Math.max(...values, 1);
    const step = SPARK.width / 59;
    const x = (at) => SPARK.width - (values.length - 1 - at) * step;
    let pen = "M";
    let path = "";
    values.forEach((value, at) => {
        if (value === null) {
            pen = "M";
            return;
        }
        const y = SPARK.height - 1 - (value / top) * (SPARK.height - 2);
        path += `${pen}${x(at).toFixed(1)} ${y.toFixed(1)}`;
        pen = "L";
    });
    return path;
}
