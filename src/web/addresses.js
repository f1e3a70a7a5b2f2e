// Who is where: the forwarding database, with what is known of the hosts behind its
// addresses, in one table with one search. Names and the rest come from hosts: text alone.

import { confirm, openForm } from "./dialogs.js";
import { $, h, keyed, matches, onFilter, say, text } from "./dom.js";
import { age, count } from "./format.js";
import { call } from "./rpc.js";

/** Rows shown: more are found by the search. */
const SHOWN = 250;

/** What stands beside an address, in the columns' order, from a line of listHosts. */
const HOST = ["ip", "name", "vendor", "user"];

export class Addresses {
    #words = [];
    #lines = [];

    #changed;

    /** `changed` is called when an entry was added, deleted or forgotten. */
    constructor(changed) {
        this.#changed = changed;
        $("address-add").addEventListener("click", () => this.#add());
        $("address-flush").addEventListener("click", () => this.#flush());
        onFilter($("addresses-filter"), (words) => {
            this.#words = words;
            this.#draw();
        });
    }

    /** Takes the entries of listFdb and listHosts; what there is not is an empty list. */
    update(fdb, hosts) {
        const lines = new Map();
        const line = (one) => {
            const vid = one.vid ?? one.vlan ?? 0;
            const key = `${vid} ${one.mac}`;
            if (!lines.has(key)) {
                lines.set(key, { key, vid, mac: one.mac });
            }
            return lines.get(key);
        };
        for (const host of hosts) {
            const ip = [host.ipv4, host.ipv6].flat().filter(Boolean).join(", ");
            Object.assign(line(host), {
                port: host.port, age: host.age, ip,
                name: host.name, vendor: host.vendor, user: host.user,
            });
        }
        // The database is what frames follow: where both speak, it is right.
        for (const entry of fdb) {
            Object.assign(line(entry), { port: entry.port, age: entry.age, fixed: entry.static, known: true });
        }
        this.#lines = [...lines.values()].sort((a, b) => (a.port ?? 0) - (b.port ?? 0)
            || a.vid - b.vid || (a.mac < b.mac ? -1 : 1));
        for (const one of this.#lines) {
            const vlan = one.vid ? `vlan ${one.vid}` : "";
            one.search = [`port ${one.port ?? ""}`, vlan, one.mac, ...HOST.map((name) => one[name] ?? ""),
                one.fixed ? "static" : ""].join(" ").toLowerCase();
        }
        text($("sum-addresses"), count(fdb.length));
        this.#draw();
    }

    #draw() {
        const found = this.#lines.filter((line) => matches(line.search, phrases(this.#words)));
        text($("addresses-count"), found.length < this.#lines.length
            ? `${count(found.length)} of ${count(this.#lines.length)}` : count(found.length));
        const more = $("addresses-more");
        more.hidden = found.length > 0 && found.length <= SHOWN;
        text(more, found.length > SHOWN
            ? `${count(found.length - SHOWN)} more: use the search.`
            : this.#lines.length ? "No address matches." : "No addresses learned yet.");
        $("addresses-table").classList.toggle("plain", this.#lines.every(({ vid }) => !vid));
        keyed($("addresses-rows"), found.slice(0, SHOWN), (line) => line.key,
            (line) => h("tr", { "data-mac": line.mac },
                h("td", { class: "number" }), h("td", { class: "number vlan" }),
                h("th", { scope: "row", class: "mono" }),
                h("td", { class: "mono ip" }), h("td", { class: "wrap" }), h("td", { class: "wrap" }),
                h("td", { class: "wrap" }), h("td", { class: "number" }),
                h("td", { class: "actions" }, h("button", {
                    type: "button", "data-action": "delete", "aria-label": `Delete ${line.mac}`,
                    click: () => this.#delete(line),
                }, "Delete"))),
            (row, line) => {
                const cells = [line.port ?? "", line.vid || "", line.mac,
                    ...HOST.map((name) => line[name] ?? ""),
                    line.fixed ? "static" : age(line.age ?? 0)];
                cells.forEach((value, at) => text(row.children[at], value));
                // A host that has gone from the database has nothing to delete.
                row.lastChild.firstChild.hidden = !line.known;
            });
    }

    #add() {
        openForm("address-dialog", async (data) => {
            const [mac, port, vid] = ["mac", "port", "vid"].map((name) => String(data.get(name)).trim());
            await call("addFdb", { mac, port: named(port), ...(vid && { vid: named(vid) }) });
            say(`Added ${mac} at port ${port}.`);
            this.#changed();
        }).reset();
    }

    async #delete({ mac, vid }) {
        await this.#tell(() => call("delFdb", { mac, ...(vid && { vid }) }), () => `Deleted ${mac}.`);
    }

    async #flush() {
        const words = "What was learned is forgotten: frames to those addresses go to all ports until "
            + "they are learned again. Static addresses stay.";
        if (await confirm("Flush all learned addresses?", words, "Flush")) {
            await this.#tell(() => call("flushFdb"), (gone) => `Flushed ${count(gone.length)} addresses.`);
        }
    }

    async #tell(act, words) {
        try {
            say(words(await act()));
            this.#changed();
        } catch (reason) {
            say(reason.message);
        }
    }
}

/** A number, or what was typed: a name, or what the switch refuses in words. */
const named = (typed) => (/^\d+$/.test(typed) ? Number(typed) : typed);

/** `port 1` and `vlan 10` are one thing each, and `port 1` is not `port 10`. */
function phrases(words) {
    const all = [];
    for (let at = 0; at < words.length; at += 1) {
        const pair = (words[at] === "port" || words[at] === "vlan") && words[at + 1];
        all.push(pair ? `${words[at]} ${pair} ` : words[at]);
        at += pair ? 1 : 0;
    }
    return all;
}
