// The users of a hub: a table of them, invitations, and who may come in no longer. Where nobody
// has a name there is no table; where nobody can be invited it has no buttons. Names come from
// strangers: text alone.

import { confirm, openForm } from "./dialogs.js";
import { $, h, keyed, say, text } from "./dom.js";
import { count, moment } from "./format.js";
import { columns, SHOWN, Table } from "./managed.js";
import { call } from "./rpc.js";

/** What somebody may have to do something about comes first, and what is over last. */
const ORDER = ["pending", "active", "invited", "expired", "revoked"];

/** Columns that every user has something in; the others are there while somebody has. */
const ALWAYS = ["Name", "State", "By", "Sessions"];

const COLUMNS = columns(
    [...ALWAYS, "Address", "Profile", "VLAN", "Expires"], ["Sessions", "VLAN"], ["Name"]);
COLUMNS[1].fill = (cell, state) => {
    text(cell, state);
    cell.dataset.state = state;
};

/** Modules around a QR code that are light (ISO/IEC 18004, 6.3.8). */
const QUIET = 4;

export class Users {
    #table;
    #list = [];
    #actions;
    #changed;

    /** `changed` is called when a user was invited, approved, renamed or revoked. */
    constructor(changed) {
        this.#changed = changed;
        const invite = h("button", { type: "button", id: "invite", click: () => this.#invite() }, "Invite…");
        this.#table = new Table("users", "Users", 1, invite);
        this.#actions = { key: "actions", title: "Actions", kind: "actions", fill: (cell, user) => this.#offer(cell, user) };
        for (const button of document.querySelectorAll("[data-copy]")) {
            button.addEventListener("click", () => copy($(button.dataset.copy)));
        }
    }

    /** Takes the entries of listUser; what there is not is an empty list. */
    update(list) {
        const place = ({ state }) => ORDER.indexOf(state);
        // By name already.
        this.#list = [...list].sort((a, b) => place(a) - place(b));
        // Only a hub says since when somebody is a user. Elsewhere they have passwords, and nothing to do here.
        const isHub = list.some(({ since }) => since);
        $("invite").hidden = !isHub;
        const lines = this.#list.map((user) => [
            user.name, user.state, user.by.join(", "), count(user.sessions), user.address, user.profile, user.vlan,
            user.expires && moment(new Date(user.expires)), user,
        ]);
        const isShown = ({ title }, at) => ALWAYS.includes(title) || lines.some((line) => line[at]);
        const shown = [...COLUMNS, this.#actions].map((column, at) => ({ ...column, at }))
            .filter((column, at) => (column.key === "actions" ? isHub : isShown(column, at)));
        this.#table.show(shown, lines.map((line) => shown.map(({ at }) => line[at])),
            lines.length > SHOWN ? "etherws users list shows them all." : "");
    }

    /** The buttons of a user. They stay while the state changes, and so does the focus. */
    #offer(cell, { name, state, since }) {
        const now = (act) => () => {
            const user = this.#list.find((one) => one.name === name);
            return user && act(user);
        };
        const actions = [
            state === "pending" && ["Approve", now((user) => this.#approve(user))],
            since && state !== "revoked" && ["Rename", now((user) => this.#rename(user))],
            state !== "revoked" && ["Revoke", now((user) => this.#revoke(user))],
        ].filter(Boolean);
        keyed(cell, actions, ([label]) => label,
            ([label, click]) => h("button", { type: "button", "aria-label": `${label} ${name}`, click }, label), () => {});
    }

    async #invite() {
        let profiles;
        try {
            profiles = await call("listProfile");
        } catch (reason) {
            return say(reason.message);
        }
        const form = openForm("invite-dialog", async (data) => {
            const given = [...data].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
            const [invitation] = await call("createInvitation", Object.fromEntries(given));
            this.#changed();
            return () => show(invitation);
        });
        form.elements.profile.replaceChildren(h("option", { value: "" }, "default"),
            ...profiles.map(({ name }) => h("option", null, name)));
        form.reset();
    }

    #approve({ name }) {
        return this.#tell("approveUser", { name }, `Approved ${name}.`);
    }

    #rename({ name }) {
        const form = openForm("rename-dialog", async (data) => {
            const to = data.get("to").trim();
            await call("renameUser", { name, to });
            say(`Renamed ${name} to ${to}.`);
            this.#changed();
            return near;
        });
        text($("rename-title"), `Rename ${name}`);
        form.elements.to.value = name;
        form.elements.to.select();
    }

    async #revoke(user) {
        if (await confirm(`Revoke ${user.name}?`, endOf(user), "Revoke")) {
            await this.#tell("revokeUser", { name: user.name }, `Revoked ${user.name}.`);
        }
    }

    async #tell(method, params, words) {
        try {
            await call(method, params);
            say(words);
            near();
            this.#changed();
        } catch (reason) {
            say(reason.message);
        }
    }
}

/** The button that was used goes: the focus stays near. */
const near = () => $("users").focus({ preventScroll: true });

/** What ends with a user. */
function endOf({ name, state, sessions, uses, address }) {
    return [
        sessions === 1 && "A session ends at once.",
        sessions > 1 && `${count(sessions)} sessions end at once.`,
        state === "pending" && "Whoever waits for approval is turned away.",
        state === "invited" && `The invitation ends${uses > 1 ? `, with ${count(uses)} uses left` : ""}: its link lets nobody in.`,
        address && `The address ${address} is free for others.`,
        `No certificate, password or token lets ${name} in any more, unless you invite ${name} again.`,
    ].filter(Boolean).join(" ");
}

/** Shows an invitation. It is a secret: nothing of it stays in a page that somebody leaves open. */
function show({ name, link, qr, uses, expires, address }) {
    const dialog = $("invitation-dialog");
    const [svg] = $("invitation-qr").children;
    const fill = (secret, command, size, path) => {
        text($("invitation-link"), secret);
        text($("invitation-command"), command);
        text($("invitation-said"), "");
        svg.setAttribute("viewBox", `${-QUIET} ${-QUIET} ${size} ${size}`);
        svg.firstElementChild.setAttribute("d", path);
    };
    text($("invitation-title"), `Invitation for ${name}`);
    text($("invitation-terms"), [
        `Until ${moment(new Date(expires))}, for ${uses === 1 ? "one user" : `${count(uses)} users`}`,
        address && `, who gets ${address}`, ".",
    ].filter(Boolean).join(""));
    fill(link, `etherws join '${link}'`, qr.length + 2 * QUIET, modules(qr));
    // A link may be too long for a code.
    $("invitation-qr").hidden = qr.length === 0;
    dialog.onclose = () => fill("", "", 0, "");
    dialog.showModal();
}

/** Rows of modules as one path: a rectangle for each run of dark ones. */
const modules = (rows) => rows.flatMap((row, y) => [...row.matchAll(/#+/g)].map(({ index, 0: { length } }) =>
    `M${index} ${y}h${length}v1h-${length}z`)).join("");

/** Copies an element's text, which stays selected. */
async function copy(element) {
    getSelection().selectAllChildren(element);
    let isCopied = true;
    try {
        await navigator.clipboard.writeText(element.textContent);
    } catch {
        // A page that came without TLS from another machine has the older way only.
        isCopied = document.execCommand("copy");
    }
    text($("invitation-said"), isCopied ? "Copied." : "Not copied: copy what is selected.");
}
