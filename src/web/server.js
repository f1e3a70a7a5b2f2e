// What the listeners count: connections, sessions, and whom they turned away (showServer).

import { $, h, keyed, text } from "./dom.js";
import { count } from "./format.js";

/** What is always shown; of the rest, what has happened. */
const ALWAYS = ["accepted", "connections", "sessions"];
const isShown = ([name, value]) => value > 0 || ALWAYS.includes(name);

/** Shows the entries of showServer. */
export function showServer(servers) {
    const sessions = servers.reduce((sum, { counters }) => sum + (counters.sessions ?? 0), 0);
    text($("sum-sessions"), count(sessions));
    keyed($("server-rows"), servers, (server) => server.service,
        (server) => h("section", { "aria-label": server.service, "data-service": server.service },
            h("h3", null, server.service), h("dl")),
        (card, { counters }) => keyed(card.lastChild, Object.entries(counters).filter(isShown), ([name]) => name,
            ([name]) => h("div", { "data-name": name }, h("dt", null, name), h("dd")),
            (line, [name, value]) => {
                text(line.lastChild, count(value));
                const trouble = name.startsWith("refused-") || name === "tls-failures";
                line.classList.toggle("some", trouble && value > 0);
            }));
}
