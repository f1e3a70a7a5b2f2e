// Numbers and times as texts. Counts are exact, to the last digit; rates are rounded.

const grouped = new Intl.NumberFormat("en-US");

/** A count, exact: `1,234,567`. */
export const count = (number) => grouped.format(number);

const PREFIXES = ["", "k", "M", "G", "T"];

/** A rate in three digits with a decimal prefix: `1.23 M`. */
export function si(number) {
    if (number === null || number === undefined) {
        return "–";
    }
    let step = 0;
    let value = number;
    while (value >= 999.5 && step < PREFIXES.length - 1) {
        value /= 1000;
        step += 1;
    }
    if (step === 0) {
        // Below ten, one digit more: a frame in two seconds is not none.
        return value > 0 && value < 9.95 ? value.toFixed(1) : String(Math.round(value));
    }
    const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return `${value.toFixed(digits)} ${PREFIXES[step]}`;
}

/** A rate with its unit: `1.23 Mbit/s`. */
export function rate(number, unit) {
    const value = si(number);
    return value.includes(" ") ? value + unit : `${value} ${unit}`;
}

/** A number of octets: `12.3 MB`. */
export const octets = (number) => rate(number, "B");

/** Seconds as `45 s`, `12 min`, `3 h`, `2 d`. */
export function age(seconds) {
    for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
        if (seconds >= 2 * length) {
            return `${Math.floor(seconds / length)} ${unit}`;
        }
    }
    return `${seconds} s`;
}

/** A Date as a day and a time of day, which begins with the year: `2026-01-31 12:00`. */
export const moment = (date) => date.toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "short" });

/** The time of day of a Date. */
export const clock = (date) => date.toLocaleTimeString("en-GB");
