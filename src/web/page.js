// The page's start: asks for ports each second and for the rest less often, gives answers to
// the parts that show them, and ties buttons to dialogs.

import { Addresses } from "./addresses.js";
import { askCapture } from "./capture.js";
import { Chart } from "./chart.js";
import { addPort, deletePort, reload, save, setPort, shutPort } from "./dialogs.js";
import { $, text } from "./dom.js";
import { Events } from "./events.js";
import { rate } from "./format.js";
import { LISTS, Managed } from "./managed.js";
import { answered, every, failed } from "./poll.js";
import { PortPane } from "./port.js";
import { nameOf, Ports } from "./ports.js";
import { ALL, Rates } from "./rates.js";
import { batch, HttpError, RpcError } from "./rpc.js";
import { showCertificates, showServer, showStatus } from "./server.js";
import { Users } from "./users.js";

/** ms between two looks at the ports: what `ctl top` takes, and an eye follows. */
const PORTS = 1000;

/** ms between two looks at addresses and listeners, which are longer and change less. */
const REST = 5000;

const rates = new Rates();
const pane = new PortPane({
    set: (port) => setPort(port, refresh),
    capture: (port) => askCapture(String(port.port)),
});
const ports = new Ports(rates, pane.element, {
    open: (port) => {
        pane.clear(port);
        chart.show(port ? port.port : ALL, port ? nameOf(port) : "all ports");
        document.body.classList.toggle("one", Boolean(port));
        refresh();
    },
    shut: (port) => shutPort(port, refresh),
    remove: (port) => deletePort(port, refresh),
});
const chart = new Chart(rates, ALL);
const addresses = new Addresses(() => refreshRest());
const users = new Users(() => refreshRest());
const managed = new Managed((number) => ports.show(number));

/** A method's entries, or none where it failed or this switch does not have it. */
const entries = (answer) => (answer instanceof RpcError ? [] : answer);

async function askPorts() {
    const open = ports.open;
    const calls = [["listPort"]];
    if (open) {
        calls.push(["showPort", { port: open }], ["listInterface"]);
    }
    let list, report, interfaces;
    const sent = Date.now();
    try {
        [list, report, interfaces] = await batch(calls);
        if (list instanceof RpcError) {
            throw new HttpError(0, list.message);
        }
    } catch (error) {
        rates.gap(Date.now());
        chart.draw();
        failed(error);
        throw error;
    }
    answered();
    // The counts are as old as half of the way.
    rates.add((sent + Date.now()) / 2, list);
    ports.update(list);
    chart.draw();
    text($("sum-rx"), rate(rates.last(ALL, "rxBits"), "bit/s"));
    text($("sum-tx"), rate(rates.last(ALL, "txBits"), "bit/s"));
    if (open && open === ports.open && !(report instanceof RpcError)) {
        pane.update(report[0], entries(interfaces).find((one) => one.port === open));
    }
}

async function askRest() {
    const [fdb, hosts, servers, status, certificates, known, ...lists] = await batch(
        [["listFdb"], ["listHosts"], ["showServer"], ["status"], ["listCertificate"], ["listUser"], ...LISTS]);
    addresses.update(entries(fdb), entries(hosts));
    const [overview] = entries(status);
    showServer(entries(servers), overview?.listeners ?? []);
    showCertificates(entries(certificates));
    users.update(entries(known));
    managed.update(lists.map(entries), (number) => ports.find(number)?.name ?? String(number));
    if (overview) {
        showStatus(overview);
    }
}

text($("host"), location.host);
document.title = `etherws ${location.host}`;
$("add").addEventListener("click", () => addPort(refresh));
$("capture").addEventListener("click", () => askCapture(ports.open ? String(ports.open) : ""));
const refresh = every(PORTS, askPorts);
const refreshRest = every(REST, askRest);
$("reload").addEventListener("click", () => reload(refresh));
$("save").addEventListener("click", save);
new Events();
