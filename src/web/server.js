// What the listeners count: connections, sessions, and whom they turned away (showServer).

import { $, h, keyed, text } from "./dom.js";
import { age, count } from "./format.js";

/** What clients must show, in words. */
const WANTED = { none: "open to anybody", local: "for this machine alone" };

/** What is always shown; of the rest, what has happened. */
const ALWAYS = ["accepted", "connections", "sessions"];
const isShown = ([name, value]) => value > 0 || ALWAYS.includes(name);

/** Shows the entries of showServer, and the listeners that status tells of. */
export function showServer(servers, listeners) {
    const sessions = servers.reduce((sum, { counters }) => sum + (counters.sessions ?? 0), 0);
    text($("sum-sessions"), count(sessions));
    keyed($("server-rows"), servers, (server) => server.service,
        (server) => h("section", { "aria-label": server.service, "data-service": server.service },
            h("h3", null, server.service), h("p", { class: "note" }), h("dl")),
        (card, { service, counters }) => {
            const own = listeners.filter((one) => one.service === service);
            text(card.children[1], own.map(({ address, tls, auth }) =>
                `${address}, ${tls ? "TLS" : "no TLS"}, ${WANTED[auth] ?? auth}`).join("; "));
            keyed(card.lastChild, Object.entries(counters).filter(isShown), ([name]) => name,
                ([name]) => h("div", { "data-name": name }, h("dt", null, name), h("dd")),
                (line, [name, value]) => {
                    text(line.lastChild, count(value));
                    const trouble = name.startsWith("refused-") || name === "tls-failures";
                    line.classList.toggle("some", trouble && value > 0);
                });
        });
}

/** ms before a certificate's end from which on it stands out: as long as the log tells of it. */
const SOON = 30 * 86400 * 1000;

/** Shows the entries of listCertificate, the first to expire first. */
export function showCertificates(certificates) {
    $("certificates").hidden = certificates.length === 0;
    keyed($("certificates-rows"), certificates, ({ file, subject, expires }) => `${file} ${subject} ${expires}`,
        () => h("tr", null, h("th", { scope: "row", class: "wrap" }), h("td"), h("td", { class: "wrap" })),
        (row, { subject, expires, file }) => {
            [subject, expires.slice(0, 10), file].forEach((value, at) => text(row.children[at], value));
            row.children[1].classList.toggle("some", new Date(expires) - Date.now() < SOON);
        });
}

/** Shows the entry of status: what this switch is, beside its name. */
export function showStatus({ host, version, uptime, configuration }) {
    text($("host"), host);
    document.title = `${host} · etherws`;
    text($("about"), [`etherws ${version}`, `up ${age(uptime)}`, configuration ?? "no configuration file"].join(" · "));
    // Without a file there is nothing to read again but what options name, and nothing to write.
    $("save").hidden = !configuration;
}
