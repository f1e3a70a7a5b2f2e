// The dialogs that change something: add, set up and delete a port. A refusal stays in its
// dialog, in the switch's own words, beside what was typed.

import { $, h, say, text } from "./dom.js";
import { endOf, nameOf } from "./ports.js";
import { batch, call, parametersOf, resolved, RpcError } from "./rpc.js";

/**
 * Opens the dialog `id` for a form that `send` carries out; it closes when that is done. What
 * `send` gives, if anything, is called then.
 */
export function openForm(id, send) {
    const dialog = $(id);
    const form = dialog.querySelector("form");
    const error = form.querySelector(".error");
    const submit = form.querySelector("[type=submit]");
    text(error, "");
    form.onsubmit = async (event) => {
        event.preventDefault();
        text(error, "");
        submit.disabled = true;
        try {
            const then = await send(new FormData(form));
            dialog.close();
            then?.();
        } catch (reason) {
            text(error, reason.message);
        }
        submit.disabled = false;
    };
    form.querySelector("[data-close]").onclick = () => dialog.close();
    dialog.showModal();
    return form;
}

/** Asks; gives whether the answer is yes. */
export function confirm(title, words, yes) {
    const dialog = $("confirm");
    text($("confirm-title"), title);
    text($("confirm-text"), words);
    text($("confirm-yes"), yes);
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
        dialog.onclose = () => resolve(dialog.returnValue === "yes");
    });
}

/** A field for a value, as its schema describes it; a list has a line for each. */
function field(name, label, title, schema) {
    const types = [schema.type].flat();
    const attributes = { name, title, autocomplete: "off", spellcheck: "false" };
    if (types.includes("boolean") && types.includes("null")) {
        const option = ([value, words]) => h("option", { value }, words);
        return h("label", { class: "field" }, label, h("select", attributes,
            ...[["", "default"], ["true", "on"], ["false", "off"]].map(option)));
    }
    if (types.includes("boolean")) {
        return h("label", { class: "check" }, h("input", { ...attributes, type: "checkbox", value: "true" }), ` ${label}`);
    }
    if (types.includes("array")) {
        return h("label", { class: "field" }, label, h("textarea", { ...attributes, rows: 2 }));
    }
    const secret = schema.writeOnly && { type: "password", autocomplete: "new-password" };
    return h("label", { class: "field" }, label, h("input", { ...attributes, ...secret }));
}

/** What was typed into such a field; undefined if nothing was. */
function typed(data, name, schema) {
    const types = [schema.type].flat();
    const value = String(data.get(name) ?? "");
    if (types.includes("boolean")) {
        return { true: true, false: false }[value];
    }
    if (types.includes("array")) {
        const list = value.split(/\s+/).filter(Boolean);
        return list.length ? list : undefined;
    }
    // Blanks may be part of a password.
    return (schema.writeOnly ? value : value.trim()) || undefined;
}

/** Adds a port: of any kind, with the options that the switch says it has. */
export async function addPort(done) {
    let parameters;
    try {
        parameters = await parametersOf("addPort");
    } catch (reason) {
        return say(reason.message);
    }
    const schemaOf = (wanted) => resolved(parameters.find(({ name }) => name === wanted).schema);
    // Tunnels first: from a page one adds them most.
    const kinds = Object.entries(schemaOf("type")["x-kinds"]).reverse();
    const options = Object.entries(schemaOf("options").properties);
    const settings = parameters.filter(({ name }) => !["type", "target", "options"].includes(name));
    $("add-kinds").replaceChildren(h("legend", { class: "hidden" }, "Type"), ...kinds.map(([name], at) =>
        h("label", null, h("input", { type: "radio", name: "type", value: name, checked: !at }), ` ${name}`)));
    $("add-settings").replaceChildren(...settings.map(({ name, description, schema }) =>
        field(`setting-${name}`, name, description, schema)));
    const form = openForm("add-dialog", async (data) => {
        const type = data.get("type");
        const own = options.filter(([, schema]) => type in schema["x-kinds"])
            .map(([name, schema]) => [name, typed(data, `option-${name}`, schema)]);
        const set = settings.map(({ name, schema }) => [name, typed(data, `setting-${name}`, schema)]);
        const [port] = await call("addPort", {
            type, target: data.get("target").trim(), options: Object.fromEntries(own), ...Object.fromEntries(set),
        });
        form.reset();
        say(`Added ${nameOf(port)}.`);
        done();
    });
    const show = () => {
        const { value: type } = form.elements.type;
        text($("add-help"), `${kinds.find(([name]) => name === type)[1]}.`);
        const target = field("target", schemaOf("target")["x-kinds"][type], "", {});
        target.firstElementChild.required = true;
        $("add-target").replaceChildren(target);
        $("add-options").replaceChildren(...options.filter(([, schema]) => type in schema["x-kinds"])
            .map(([name, schema]) => field(`option-${name}`, name, schema["x-kinds"][type], schema)));
    };
    $("add-kinds").onchange = show;
    // No password stays in a page that somebody leaves open.
    $("add-dialog").onclose = () => $("add-options").replaceChildren();
    show();
    form.elements.target.focus();
}

/** Shuts a port, or opens it again. */
export async function shutPort(port, done) {
    try {
        await call("setPort", { port: port.port, shut: !port.shut });
        say(`${port.shut ? "No shut" : "Shut"}: ${nameOf(port)}.`);
        done();
    } catch (reason) {
        say(reason.message);
    }
}

/** Deletes a port, if that is really wanted. */
export async function deletePort(port, done) {
    const words = port.type === "server"
        ? `Its tunnel is closed. ${port.target} may connect again.`
        : "What was learned behind it is forgotten. Its number is not used again.";
    if (!await confirm(`${endOf(port)} ${nameOf(port)}?`, words, endOf(port))) {
        return;
    }
    try {
        await call("delPort", { port: port.port });
        say(`${endOf(port)}ed ${nameOf(port)}.`.replace("eed", "ed"));
        $("ports").focus({ preventScroll: true });
        done();
    } catch (reason) {
        say(reason.message);
    }
}

/**
 * A field for each setting of a port, as the switch describes it. An empty one leaves the
 * setting to the default, which it shows.
 */
function settingFields(report, parameters) {
    return Object.entries(report.settings).map(([name, { value, origin, profile }]) => {
        const { description, schema } = parameters.find((one) => one.name === name) ?? {};
        const isOwn = origin === "own";
        const attributes = { name: `setting-${name}`, title: description };
        const types = [schema?.type].flat();
        if (!types.includes("boolean")) {
            return h("label", { class: "field" }, name, h("input", {
                ...attributes, value: isOwn ? value : "", placeholder: value,
                autocomplete: "off", spellcheck: "false",
            }));
        }
        const options = [["", isOwn ? "default" : `${value} (${profile ?? origin})`], ["on", "on"], ["off", "off"]];
        return h("label", { class: "field" }, name, h("select", attributes,
            ...options.map(([option, words]) =>
                h("option", { value: option, selected: option === (isOwn ? value : "") }, words))));
    });
}

/** Carries out a method that changes the configuration or its file, and says what it did. */
async function carryOut(method, title, words, yes) {
    if (!await confirm(title, words, yes)) {
        return;
    }
    try {
        const changes = await call(method);
        const line = ({ action, port, item, note }) =>
            [action, port && `port ${port}`, item, note && `(${note})`].filter(Boolean).join(" ");
        say(changes.length ? changes.map(line).join("; ") : "Nothing has changed.");
    } catch (reason) {
        say(reason.message);
    }
}

/** Has the configuration file read again. */
export async function reload(done) {
    const words = "What differs in the file is applied. Password files, certificates and log files are read again too.";
    await carryOut("reload", "Reload the configuration file?", words, "Reload");
    done();
}

/** Has the ports written into the configuration file. */
export const save = () => carryOut("save", "Save the ports?",
    "The ports as they are now are written into the configuration file.", "Save");

/** What was typed into those fields, as params of setPort; nothing of what was not touched. */
function settingParams(data, report) {
    const params = {};
    const cleared = [];
    for (const [name, { value, origin }] of Object.entries(report.settings)) {
        const typed = String(data.get(`setting-${name}`) ?? "").trim();
        if (typed === (origin === "own" ? value : "")) {
            continue;
        }
        if (typed === "") {
            cleared.push(name);
        } else {
            // Control takes any text for a true boolean, as etherws 1.3 did.
            params[name] = { on: true, off: false }[typed] ?? typed;
        }
    }
    return cleared.length ? { ...params, default: cleared } : params;
}

/** Sets up a port: its settings, and the interface of a tap or netdev. */
export async function setPort({ port: number }, done) {
    let answers;
    let parameters;
    try {
        [answers, parameters] = await Promise.all([
            batch([["showPort", { port: number }], ["listInterface"]]),
            parametersOf("setPort"),
        ]);
    } catch (reason) {
        return say(reason.message);
    }
    const [reports, interfaces] = answers;
    if (reports instanceof RpcError) {
        return say(reports.message);
    }
    const [report] = reports;
    const own = interfaces instanceof RpcError ? null : interfaces.find((one) => one.port === number);
    const before = { address: own?.addresses?.[0] ?? "", mtu: String(own?.mtu ?? "") };
    // What was not touched is not sent: somebody else may have set it since.
    const changed = (data) => Object.fromEntries(Object.keys(before)
        .map((name) => [name, String(data.get(name) ?? "").trim()])
        .filter(([name, value]) => value !== before[name]));
    $("set-settings").replaceChildren(...settingFields(report, parameters));
    const form = openForm("set-dialog", async (data) => {
        const settings = settingParams(data, report);
        if (Object.keys(settings).length) {
            await call("setPort", { port: number, ...settings });
        }
        const addresses = own ? changed(data) : {};
        if (Object.keys(addresses).length) {
            await call("setInterface", { port: number, ...addresses });
        }
        say(`Set up ${nameOf(report)}.`);
        done();
    });
    text($("set-title"), `Set up ${nameOf(report)}`);
    Object.entries(before).forEach(([name, value]) => { form[name].value = value; });
    $("set-interface").hidden = !own;
    $("set-interface").disabled = !own;
}
