// A capture of the running switch: started by the method `capture`, read as pcapng from the
// path that it names, and kept here until it is stopped and saved as a file.

import { $, h, say, text } from "./dom.js";
import { openForm } from "./dialogs.js";
import { count, octets } from "./format.js";
import { call, HttpError, stream } from "./rpc.js";

/** Most octets that are kept: what a tab holds with ease. */
const MOST = 256 * 1024 * 1024;

/** What a pcapng stream begins with, and what a packet is (draft-ietf-opsawg-pcapng, 4). */
const SECTION_HEADER = 0x0a0d0d0a;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const ENHANCED_PACKET = 6;
const SHORTEST_BLOCK = 12;

/** Params that are numbers; what is no number is sent as it is, and refused in words. */
const NUMBERS = ["vlan", "snaplen", "duration"];

/** Counts the packets in a pcapng stream, and where its last whole block ends. */
export class Blocks {
    packets = 0;
    /** Octets up to the end of the last whole block. */
    whole = 0;
    #head = [];
    #length = 0;
    #left = 0;
    #packet = false;
    #little = true;

    push(chunk) {
        let at = 0;
        while (at < chunk.length) {
            if (this.#left === 0) {
                this.#head.push(chunk[at]);
                at += 1;
                if (this.#head.length === SHORTEST_BLOCK) {
                    this.#begin(new DataView(new Uint8Array(this.#head).buffer));
                }
                continue;
            }
            const taken = Math.min(this.#left, chunk.length - at);
            at += taken;
            this.#left -= taken;
            if (this.#left === 0) {
                this.#end();
            }
        }
    }

    /** A block's first octets: type, length, and in a section's header the order of octets. */
    #begin(view) {
        this.#head = [];
        if (view.getUint32(0) === SECTION_HEADER) {
            this.#little = view.getUint32(8, true) === BYTE_ORDER_MAGIC;
        }
        this.#packet = view.getUint32(0, this.#little) === ENHANCED_PACKET;
        this.#length = Math.max(view.getUint32(4, this.#little), SHORTEST_BLOCK);
        this.#left = this.#length - SHORTEST_BLOCK;
        if (this.#left === 0) {
            this.#end();
        }
    }

    #end() {
        this.whole += this.#length;
        this.packets += this.#packet ? 1 : 0;
    }
}

/** Asks what to capture, and captures it. `ports` is what the dialog begins with. */
export function askCapture(ports) {
    const form = openForm("capture-dialog", async (data) => {
        const params = {};
        const chosen = String(data.get("ports")).split(/[\s,]+/).filter(Boolean);
        if (chosen.length) {
            params.ports = chosen.map((one) => (/^\d+$/.test(one) ? Number(one) : one));
        }
        for (const name of ["direction", "vlan", "mac", "ethertype", "filter", "snaplen", "duration"]) {
            const value = String(data.get(name)).trim();
            if (value) {
                params[name] = NUMBERS.includes(name) && /^\d+$/.test(value) ? Number(value) : value;
            }
        }
        const [{ path }] = await call("capture", params);
        const abort = new AbortController();
        const response = await fetch(stream(path), { signal: abort.signal });
        if (!response.ok) {
            throw new HttpError(response.status, await response.text());
        }
        run(response.body.getReader(), abort, chosen.length ? `ports ${chosen.join(", ")}` : "all ports");
    });
    form.ports.value = ports;
}

/** Reads a capture to its end and shows how it goes on. */
async function run(reader, abort, what) {
    const begun = new Date();
    const chunks = [];
    const blocks = new Blocks();
    const progress = h("span", { class: "number" });
    const stop = h("button", { type: "button", class: "primary", click: () => abort.abort() }, "Stop and save");
    const strip = h("div", { class: "capture" },
        h("span", null, `Capturing ${what}`), progress, stop);
    $("captures").append(strip);
    $("captures").hidden = false;
    let size = 0;
    let why = "";
    const show = () => text(progress, `${count(blocks.packets)} packets, ${octets(size)}`);
    show();
    // Ten times a second is all that an eye sees.
    const timer = setInterval(show, 100);
    try {
        while (size < MOST) {
            const { done, value } = await reader.read();
            if (done) {
                // It lasted as long as it was to, or the switch goes.
                break;
            }
            chunks.push(value);
            size += value.length;
            blocks.push(value);
        }
        if (size >= MOST) {
            why = ": it is full";
        }
    } catch {
        why = abort.signal.aborted ? "" : ": the connection was lost";
    }
    abort.abort();
    clearInterval(timer);
    show();
    // Up to the last whole block, so that the file is one that Wireshark does not call cut.
    const blob = new Blob(chunks).slice(0, blocks.whole, "application/x-pcapng");
    const stamp = begun.toISOString().slice(0, 19).replaceAll(":", "");
    const url = URL.createObjectURL(blob);
    const save = h("a", { href: url, download: `etherws-${stamp}.pcapng` }, "Save");
    const close = () => {
        URL.revokeObjectURL(url);
        strip.remove();
        $("captures").hidden = !$("captures").hasChildNodes();
    };
    strip.replaceChildren(h("span", null, `Captured ${what}${why}`), progress, save,
        h("button", { type: "button", click: close }, "Discard"));
    say(`Captured ${count(blocks.packets)} packets${why}.`);
    save.click();
    save.focus();
}
