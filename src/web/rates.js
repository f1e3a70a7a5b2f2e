// Rates from counters: what each port, and all together, received and sent in the last five
// minutes. Counts are asked for; rates are the difference of two answers over their time.

/** Samples kept, one a second. */
const SAMPLES = 300;

/** The key of all ports' sums. */
export const ALL = 0;

/** Fewer than this many ms apart two answers say little: their own delay is as long. */
const SHORTEST = 200;

/** What is counted, and what it becomes: a rate a second. */
const COUNTERS = {
    rxBits: (port) => (port["octets-rx"] ?? 0) * 8,
    txBits: (port) => (port["octets-tx"] ?? 0) * 8,
    rxFrames: (port) => port.rx,
    txFrames: (port) => port.tx,
};
const NAMES = Object.keys(COUNTERS);

class History {
    times = [];
    values = Object.fromEntries(NAMES.map((name) => [name, []]));

    push(time, rates) {
        this.times.push(time / 1000);
        for (const name of NAMES) {
            this.values[name].push(rates?.[name] ?? null);
        }
        if (this.times.length > SAMPLES) {
            this.times.shift();
            NAMES.forEach((name) => this.values[name].shift());
        }
    }

    last(name) {
        return this.values[name].at(-1) ?? null;
    }
}

export class Rates {
    #histories = new Map();
    #before = new Map();
    #time = 0;

    /** Takes all ports' counts at a time in ms; gives whether there are new rates. */
    add(time, ports) {
        const elapsed = time - this.#time;
        if (elapsed < SHORTEST) {
            return false;
        }
        const sum = Object.fromEntries(NAMES.map((name) => [name, 0]));
        let known = false;
        const now = new Map();
        for (const port of ports) {
            const counts = Object.fromEntries(NAMES.map((name) => [name, COUNTERS[name](port)]));
            const before = this.#before.get(port.port);
            // Another switch under the same address counts from 0.
            const same = before && NAMES.every((name) => counts[name] >= before[name]);
            const rates = same && Object.fromEntries(
                NAMES.map((name) => [name, ((counts[name] - before[name]) * 1000) / elapsed]));
            if (rates) {
                NAMES.forEach((name) => { sum[name] += rates[name]; });
                known = true;
            }
            now.set(port.port, counts);
            this.#of(port.port).push(time, rates);
        }
        // Without ports there is no traffic; without a former answer nobody knows.
        this.#of(ALL).push(time, known || (this.#time > 0 && ports.length === 0) ? sum : null);
        for (const port of this.#histories.keys()) {
            if (port !== ALL && !now.has(port)) {
                this.#histories.delete(port);
            }
        }
        this.#before = now;
        this.#time = time;
        return true;
    }

    /** There was no answer: the lines are cut here, and rates begin anew. */
    gap(time) {
        this.#histories.forEach((history) => history.push(time, null));
        this.#before.clear();
    }

    #of(port) {
        let history = this.#histories.get(port);
        if (!history) {
            history = new History();
            this.#histories.set(port, history);
        }
        return history;
    }

    /** The latest rate, or null. */
    last(port, name) {
        return this.#histories.get(port)?.last(name) ?? null;
    }

    /** For a chart: times in seconds, then the named rates. */
    series(port, names) {
        const history = this.#histories.get(port);
        return history
            ? [history.times, ...names.map((name) => history.values[name])]
            : [[], ...names.map(() => [])];
    }

    /** The last minute of both directions together. */
    minute(port) {
        const history = this.#histories.get(port);
        const [rx, tx] = ["rxBits", "txBits"].map((name) => history?.values[name].slice(-60) ?? []);
        return rx.map((value, at) => (value === null ? null : value + tx[at]));
    }
}
