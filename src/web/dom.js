// Elements: made, found and kept. All text goes in as text, never as markup: names come
// from strangers' hosts. Knows nothing of the switch.

/** The element with an id. */
export const $ = (id) => document.getElementById(id);

/** Makes an element: `h("td", {class: "number"}, "1", child)`. A function is a listener. */
export function h(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes ?? {})) {
        if (typeof value === "function") {
            element.addEventListener(name, value);
        } else if (value !== undefined && value !== false) {
            element.setAttribute(name, value === true ? "" : value);
        }
    }
    element.append(...children);
    return element;
}

/** Sets a text, if it is another: what is unchanged costs nothing and stays selected. */
export function text(element, value) {
    const wanted = String(value);
    if (element.textContent !== wanted) {
        element.textContent = wanted;
    }
}

const kept = new WeakMap();

/**
 * Makes the children of `parent` those of `items`, in this order. An item keeps its element
 * as long as it has the same key, and with it focus, selection and what is open in it.
 */
export function keyed(parent, items, key, make, update) {
    const before = kept.get(parent) ?? new Map();
    const now = new Map(items.map((item) => [key(item), item]));
    // Those that go, first: fewer others are moved then.
    for (const [id, element] of before) {
        if (!now.has(id)) {
            element.remove();
            before.delete(id);
        }
    }
    const focused = document.activeElement;
    let next = parent.firstElementChild;
    for (const [id, item] of now) {
        const element = before.get(id) ?? make(item);
        before.set(id, element);
        update(element, item);
        if (element === next) {
            next = element.nextElementSibling;
        } else {
            parent.insertBefore(element, next);
        }
    }
    kept.set(parent, before);
    // What is moved loses the focus.
    if (focused !== document.activeElement && parent.contains(focused)) {
        focused.focus({ preventScroll: true });
    }
}

/** Calls back with the words of a search field, in lower case, whenever they change. */
export function onFilter(input, changed) {
    const words = () => input.value.toLowerCase().split(/\s+/).filter(Boolean);
    input.addEventListener("input", () => changed(words()));
}

/** Whether a line, in lower case, has all words. */
export const matches = (line, words) => words.every((word) => line.includes(word));

/** Says something that was done; screen readers say it too. */
export function say(message) {
    const status = $("status");
    text(status, message);
    status.classList.add("shown");
    clearTimeout(say.timer);
    say.timer = setTimeout(() => {
        status.classList.remove("shown");
        text(status, "");
    }, 5000);
}
