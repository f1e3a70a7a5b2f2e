// Events as they come, the newest first, from the stream of server-sent events that the
// method `monitor` names, after those that were before (`events`). A stream that ends is
// opened again.

import { $, h, matches, onFilter, text } from "./dom.js";
import { clock } from "./format.js";
import { batch, RpcError, stream } from "./rpc.js";

/** Events kept: an hour of a calm switch; `ctl monitor` keeps them all. */
const KEPT = 500;

/** A page that nobody has looked at for so long, in ms, gives its stream back: a browser
 *  has six connections to a switch for all its tabs. */
const LOOKED_AWAY = 5 * 60 * 1000;

/** ms before the stream is opened again where the browser does not do it by itself. */
const AGAIN = 3000;

/** ms that one event may seem to be apart in the stream and in the history. */
const SAME = 1000;

/** What needs somebody, and what is worth a look. */
const LEVELS = {
    bad: ["loop", "bpdu-guard", "root-guard", "storm", "flap", "table-full", "guard", "duplicate-address", "authentication-failure", "lost"],
    warn: ["port-down", "link-down", "topology-change", "stp-root", "stp-port", "refused", "port-deleted", "mac-moved"],
    good: ["port-up", "link-up", "loop-ended", "bpdu-guard-ended", "root-guard-ended", "storm-ended"],
};
const levelOf = (event) => Object.keys(LEVELS).find((level) => LEVELS[level].includes(event)) ?? "";

export class Events {
    #words = [];
    #source = null;
    #timer;
    #waiting = [];
    #hasHistory = false;

    constructor() {
        onFilter($("events-filter"), (words) => {
            this.#words = words;
            for (const row of $("events-rows").children) {
                row.hidden = !matches(row.search_, words);
            }
        });
        document.addEventListener("visibilitychange", () => {
            clearTimeout(this.#timer);
            if (!document.hidden && !this.#source) {
                this.#open();
            } else if (document.hidden) {
                this.#timer = setTimeout(() => this.#close(), LOOKED_AWAY);
            }
        });
        this.#open();
    }

    async #open() {
        let entries;
        try {
            [entries] = await batch([["monitor"]]);
        } catch {
            return this.#again("not connected");
        }
        if (entries instanceof RpcError) {
            return entries.unknown ? text($("events-state"), "this switch has none") : this.#again(entries.message);
        }
        this.#source?.close();
        const source = new EventSource(stream(entries[0].path));
        this.#source = source;
        source.onopen = () => {
            text($("events-state"), "live");
            this.#askHistory();
        };
        source.onmessage = ({ data }) => this.#take(data);
        source.onerror = () => {
            text($("events-state"), "connecting …");
            // A refusal ends it; a lost connection does not.
            if (source.readyState === EventSource.CLOSED) {
                this.#again("connecting …");
            }
        };
    }

    #again(state) {
        this.#source = null;
        text($("events-state"), state);
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => document.hidden || this.#open(), AGAIN);
    }

    #close() {
        this.#source?.close();
        this.#source = null;
        text($("events-state"), "paused");
        const time = new Date().toISOString();
        this.#take(JSON.stringify({ time, event: "paused", reason: "the page was hidden" }));
    }

    /** Asks for what was before; the stream is open by then, so that none falls in between. */
    async #askHistory() {
        if (this.#hasHistory) {
            return;
        }
        let past = [];
        try {
            [past] = await batch([["events", { limit: KEPT }]]);
        } catch {
            // Without an answer there is no history.
        }
        const said = ({ time, ...rest }) => JSON.stringify(rest, Object.keys(rest).sort());
        const isNew = (old) => !this.#waiting.some((one) => said(one) === said(old)
            && Math.abs(new Date(one.time) - new Date(old.time)) < SAME);
        this.#waiting.unshift(...(past instanceof RpcError ? [] : past).filter(isNew));
        this.#hasHistory = true;
        this.#draw();
    }

    #take(data) {
        let event;
        try {
            event = JSON.parse(data);
        } catch {
            return;
        }
        // A burst is drawn once.
        if (this.#waiting.push(event) === 1) {
            setTimeout(() => this.#draw(), 50);
        }
        this.#waiting.splice(0, this.#waiting.length - KEPT);
    }

    #draw() {
        if (!this.#hasHistory) {
            return;
        }
        const body = $("events-rows");
        for (const { time, event, port, ...details } of this.#waiting) {
            const date = new Date(time);
            const said = Object.entries(details).filter(([, value]) => value !== "" && value !== "-")
                .map(([name, value]) => `${name} ${value}`).join(", ");
            const row = h("tr", { "data-event": event },
                h("td", { class: "number", title: time }, clock(date)),
                h("td", { "data-level": levelOf(event) }, String(event)),
                h("td", { class: "number" }, String(port ?? "")),
                h("td", { class: "text" }, said));
            row.search_ = `${event} port ${port ?? ""} ${said}`.toLowerCase();
            row.hidden = !matches(row.search_, this.#words);
            body.prepend(row);
        }
        this.#waiting = [];
        $("events-none").hidden = body.children.length > 0;
        while (body.children.length > KEPT) {
            body.lastChild.remove();
        }
    }
}
