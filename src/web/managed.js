// What a managed switch has beside its ports: VLANs with their members, profiles, bindings of
// IP addresses, LLDP neighbors, and mirrors. Each table is there while it has lines.

import { $, h, keyed, text } from "./dom.js";
import { age, count } from "./format.js";

/** Lines and ports shown: `ctl` lists them all. */
export const SHOWN = 100;

/** What is asked for: one more than is shown, to know that there are more. */
export const LISTS = [
    ["listVlan", { limit: SHOWN + 1 }], ["listProfile"],
    ["listBinding", { limit: SHOWN + 1 }], ["listMirror"], ["listNeighbor"],
];

/** A table in a section of its own. */
export class Table {
    #section;
    #head = h("tr");
    #body = h("tbody");
    #count = h("span", { class: "count" });
    #note = h("p", { class: "note" });
    #own;

    /** `own`: how many of its first cells tell a line from the others. `buttons` stand beside the title. */
    constructor(id, title, own = 2, ...buttons) {
        this.#own = own;
        this.#section = h("section", { id, "aria-labelledby": `${id}-title`, tabindex: "-1", hidden: true },
            h("div", { class: "head" }, h("h2", { id: `${id}-title` }, title), this.#count, ...buttons),
            h("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": `${id}-title` },
                h("table", null, h("thead", null, this.#head), this.#body)),
            this.#note);
        $("managed").append(this.#section);
    }

    /**
     * Shows lines of cells under columns. A column is {key, title, and perhaps kind (its
     * class), act (what its title does) or fill (how a cell shows its value, if not as text)}.
     */
    show(columns, lines, note = "") {
        this.#section.hidden = lines.length === 0;
        const shown = lines.slice(0, SHOWN);
        text(this.#count, shown.length < lines.length ? `first ${count(SHOWN)}` : count(lines.length));
        text(this.#note, note);
        keyed(this.#head, columns, ({ key }) => key,
            ({ kind, act }) => h("th", { scope: "col", class: kind }, act ? h("button", {
                type: "button", class: "sort", click: act,
            }) : h("span", { class: kind === "actions" && "hidden" })),
            (cell, { title }) => text(cell.firstChild, title));
        keyed(this.#body, shown, (line) => line.slice(0, this.#own).join(), () => h("tr"), (row, line) => {
            const cells = columns.map((column, at) => ({ ...column, at, value: line[at] ?? "" }));
            keyed(row, cells, ({ key }) => key,
                ({ at, kind }) => (at ? h("td", { class: kind }) : h("th", { scope: "row", class: kind })),
                (cell, { value, fill = text }) => fill(cell, value));
        });
    }
}

/** Columns with these titles, of which some are numbers, and some may be broken. */
export const columns = (titles, numbers, wrapped) => titles.map((title) => ({
    key: title, title, kind: numbers.includes(title) ? "number" : wrapped.includes(title) ? "wrap" : undefined,
}));
const PROFILES = columns(["Profile", "Inherits", "Users", "Sessions", "Settings"], ["Sessions"], ["Users", "Settings"]);
const BINDINGS = columns(["IP", "VLAN", "MAC", "Port", "Holder", "Type", "Left"], ["VLAN", "Port", "Left"], ["IP", "Holder"]);
const NEIGHBORS = columns(
    ["Port", "Name", "Chassis", "Port ID", "Address", "VLAN", "Capabilities", "Left"],
    ["VLAN", "Left"], ["Name", "Port ID", "Address", "Capabilities"]);
const MIRRORS = columns(
    ["Mirror", "From", "Direction", "VLAN", "Filter", "To", "To VLAN", "Copied", "Lost"],
    ["Mirror", "VLAN", "To VLAN", "Copied", "Lost"], ["From", "Filter", "To"]);

export class Managed {
    #vlans = new Table("vlans", "VLANs");
    #profiles = new Table("profiles", "Profiles");
    #bindings = new Table("bindings", "Bindings");
    #neighbors = new Table("neighbors", "Neighbors", 4);
    #mirrors = new Table("mirrors", "Mirrors");
    #open;

    /** `open` is called with the number of a port that is to be shown. */
    constructor(open) {
        this.#open = open;
    }

    /** Takes the answers to `LISTS`; `nameOf` gives a port's name by its number. */
    update([vlans, profiles, bindings, mirrors, neighbors], nameOf) {
        this.#showVlans(vlans, nameOf);
        this.#bindings.show(BINDINGS, bindings.map(({ ip, vid, mac, port, holder, type, left }) =>
            [ip, vid || "", mac, port, holder, type, age(left)]));
        this.#neighbors.show(NEIGHBORS, neighbors.map(({ port, name, chassis, id, addresses, pvid, enabled, left }) => [
            nameOf(port), name, chassis.value, id.value, addresses.join(" "), pvid || "", enabled.join(" "), age(left),
        ]));
        this.#mirrors.show(MIRRORS, mirrors.map(({ number, from, direction, vlan, filter, to, ready, ...more }) => [
            number, from?.join(", ") || "all", direction ?? "both", vlan, filter,
            ready ? to : `${to} (missing)`, more["to-vlan"], count(more.copied), count(more.lost),
        ]));
        this.#profiles.show(PROFILES, profiles.map(({ name, inherits, users, settings, ...more }) => [
            name, inherits, users.join(", "), more["max-sessions"],
            Object.entries(settings).map((pair) => pair.join(" ")).join(", "),
        ]));
    }

    /** Who is in which VLAN: a line for each VLAN, a column for each port. */
    #showVlans(vlans, nameOf) {
        const all = new Set(vlans.flatMap(({ untagged, tagged }) => [...untagged, ...tagged]));
        const ports = [...all].sort((a, b) => a - b);
        const shown = ports.slice(0, SHOWN);
        const matrix = [
            ...columns(["VLAN", "Name"], ["VLAN"], ["Name"]),
            ...shown.map((port) => ({ key: port, title: nameOf(port), kind: "member", act: () => this.#open(port) })),
            ...columns(["RX frames", "TX frames"], ["RX frames", "TX frames"], []),
        ];
        const more = ports.length > SHOWN ? ` The first ${SHOWN} of ${ports.length} ports.` : "";
        this.#vlans.show(matrix, vlans.map(({ vid, name, untagged, tagged, rx, tx }) => {
            const [bare, framed] = [new Set(untagged), new Set(tagged)];
            const member = (port) => (bare.has(port) ? "U" : framed.has(port) ? "T" : "");
            return [vid || "none", name, ...shown.map(member), count(rx), count(tx)];
        }), `U: leaves the port untagged, T: tagged. Ports without settings for VLANs carry all, and have no column.${more}`);
    }
}
