// The control API: JSON-RPC 2.0 over POST, with the browser's own login. See docs/rpc.md.

const NAMESPACE = "etherws.control.";

/** Where the page is, without name and password: a browser would not fetch what has them. */
const BASE = location.origin + location.pathname;
const url = new URL(document.querySelector("meta[name=rpc]").content, BASE).href;
let last = 0;

/** The switch has answered that it will not. */
export class RpcError extends Error {
    constructor({ code, message, data }) {
        // The exception's name is for programs.
        super(String(data ?? message).replace(/^\w+: /, ""));
        this.code = code;
    }

    /** Whether this switch does not know the method. */
    get unknown() {
        return this.code === -32601;
    }
}

/** There was no answer of the API's; `status` is HTTP's, 0 for none at all. */
export class HttpError extends Error {
    constructor(status, message) {
        super(message);
        this.status = status;
    }
}

async function post(body, timeout) {
    let response;
    try {
        response = await fetch(url, {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(body),
            signal: timeout && AbortSignal.timeout(timeout),
        });
    } catch {
        throw new HttpError(0, "The switch does not answer");
    }
    if (!response.ok) {
        throw new HttpError(response.status, await response.text().catch(() => ""));
    }
    try {
        return await response.json();
    } catch {
        throw new HttpError(0, "The switch's answer was cut short");
    }
}

function request([method, params]) {
    last += 1;
    return { jsonrpc: "2.0", id: last, method: NAMESPACE + method, params: params ?? {} };
}

/** Calls a method, which may take its time, and gives its entries. */
export async function call(method, params) {
    const { result, error } = await post(request([method, params]));
    if (error) {
        throw new RpcError(error);
    }
    return result.entries;
}

/** Calls several at once; each gives its entries or an RpcError. */
export async function batch(calls) {
    // Longer than a busy switch takes, shorter than a reader's patience.
    const requests = calls.map(request);
    const answers = await post(requests, 8000);
    return requests.map(({ id }) => {
        const answer = answers.find((one) => one.id === id);
        return answer?.result?.entries ?? new RpcError(answer?.error ?? { message: "No answer" });
    });
}

/** How the API document describes the params of a method: name, description and schema. */
export async function parametersOf(method) {
    // It does not change while the switch runs.
    parametersOf.document ??= (await post({ jsonrpc: "2.0", id: 0, method: "rpc.discover" }, 8000)).result;
    return parametersOf.document.methods.find(({ name }) => name === NAMESPACE + method).params;
}

/** A schema of that document itself, where another one only names it. */
export function resolved(schema) {
    const { $ref } = schema.allOf?.[0] ?? schema;
    return $ref ? parametersOf.document.components.schemas[$ref.split("/").pop()] : schema;
}

/** Where a stream is that a method has named: a path of the same listener. */
export const stream = (path) => new URL(`.${path}`, BASE).href;
