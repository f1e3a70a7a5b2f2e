// Asks the switch again and again, while somebody looks: a page in the background asks
// nothing. Shows in a banner that the switch does not answer, until it does.

import { $, h } from "./dom.js";
import { HttpError } from "./rpc.js";

/** Calls `work` every `interval` ms, or less often where it takes long. */
export function every(interval, work) {
    let timer;
    let running = false;
    const run = async () => {
        clearTimeout(timer);
        if (running || document.hidden) {
            return;
        }
        running = true;
        const start = performance.now();
        try {
            await work();
        } catch (error) {
            // A mistake of ours must not end the asking, but show in the console.
            if (!(error instanceof HttpError)) {
                console.error(error);
            }
        }
        running = false;
        // A big answer over a thin line has a fifth of the line.
        const took = performance.now() - start;
        timer = setTimeout(run, Math.max(interval - took, 4 * took));
    };
    document.addEventListener("visibilitychange", run);
    run();
    return run;
}

const RELOAD = 401;

/** Shows what keeps us from the switch. */
export function failed(error) {
    const banner = $("banner");
    document.body.classList.add("stale");
    const said = banner.dataset.said;
    const words = error.status === 0 || error.status >= 500
        ? `${error.message || "The switch does not answer"}. Trying again …`
        : error.status === RELOAD
            ? "The switch wants a login."
            : `The switch refuses: ${error.message}`;
    if (said === words && !banner.hidden) {
        return;
    }
    banner.dataset.said = words;
    banner.replaceChildren(words);
    if (error.status === RELOAD) {
        banner.append(" ", h("button", { type: "button", click: () => location.reload() }, "Log in"));
    }
    banner.hidden = false;
}

/** The switch has answered. */
export function answered() {
    document.body.classList.remove("stale");
    $("banner").hidden = true;
}
