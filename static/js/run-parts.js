// The address is the state: links change it, and the parts of the page that show it are fetched again.
import { replaceBar } from "./travel.js";

const OF_PANEL = ["task", "tab", "attempt"];
const OF_LEFT = ["view", "open", "art", "fold", "unfold", "state", "critical"];

/** The address a link means: what it says about its own part, what the address says about the other. */
export function mergedAddress(href, what) {
  const url = new URL(href, location.href), here = new URLSearchParams(location.search);
  if (what === "moment") {
    const at = url.searchParams.get("at"), same = new URL(location.href);
    at ? same.searchParams.set("at", at) : same.searchParams.delete("at");
    return same;
  }
  here.has("at") ? url.searchParams.set("at", here.get("at")) : url.searchParams.delete("at");
  for (const name of what === "left" ? OF_PANEL : OF_LEFT) {
    url.searchParams.delete(name);
    if (here.has(name)) url.searchParams.set(name, here.get(name));
  }
  if (what === "left") url.hash = location.hash;
  return url;
}

export class Parts {
  constructor() {
    this.running = {};
    this.held = null; // where a node of the graph was on the screen
    this.chosen = false; // whether a person chose the step: then the graph moves to it
  }

  /** Whether the page shows a moment of the past: then nothing that happens now is painted. */
  get travelling() {
    return new URLSearchParams(location.search).has("at");
  }

  /** Goes to an address and fetches the part that shows the difference. */
  go(url, what) {
    if (url.href !== location.href) history.pushState(null, "", url);
    if (what === "moment") return this.moment();
    if (what === "left") return this.left();
    const open = (url.searchParams.get("open") ?? "").split(",").filter(Boolean);
    const inside = (url.searchParams.get("task") ?? "").replace(/\[\d+\]/g, "");
    if (document.querySelector("#left .graph") && open.some((group) => inside === group || inside.startsWith(`${group}/`))) this.left();
    return this.panel();
  }

  /** The page as it was, or again as it is: a graph that is there is painted, all else is put in anew. */
  async moment() {
    const text = await this.#fetch("moment", document.querySelector("#left .graph") ? { drawn: 1 } : {});
    if (text === null) return;
    for (const name of ["left", "panel", "head"]) this.running[name]?.abort();
    const fresh = JSON.parse(text);
    document.title = fresh.title;
    replaceBar(document.getElementById("travel"), fresh.travel);
    const head = document.getElementById("head"), panel = document.getElementById("panel"), down = panel.querySelector(".body")?.scrollTop ?? 0;
    head.innerHTML = fresh.head;
    globalThis.htmx?.process(head);
    this.onSnapshot?.(fresh.snapshot);
    if (fresh.left) this.#putLeft(fresh.left);
    this.onHead?.();
    panel.innerHTML = fresh.panel;
    if (down && panel.querySelector(".body")) panel.querySelector(".body").scrollTop = down;
    this.onPanel?.();
    this.onMoment?.();
  }

  async left() {
    const html = await this.#fetch("left");
    if (html !== null) this.#putLeft(html);
  }

  #putLeft(html) {
    const box = document.getElementById("left"), scroll = box.querySelector("[data-rows]")?.scrollTop ?? 0;
    const find = box.querySelector("[data-find-step]"), typed = find?.value ?? "", typing = document.activeElement === find;
    const focused = box.contains(document.activeElement) ? document.activeElement.closest("[data-path]")?.dataset.path : null;
    if (!this.held && box.querySelector(".graph")) this.held = this.keep?.() ?? null;
    box.innerHTML = html;
    const rows = box.querySelector("[data-rows]");
    if (rows) rows.scrollTop = scroll;
    const fresh = box.querySelector("[data-find-step]");
    if (fresh && typed) fresh.value = typed;
    if (typing) fresh?.focus();
    this.onLeft?.();
    // Who walks by keyboard stays where they were: also when a group opened under them.
    const again = focused && box.querySelector(`:is(a.node, tr)[data-path="${CSS.escape(focused)}"]`);
    (again?.matches("tr") ? again.querySelector("a.tw, a.name") : again)?.focus({ preventScroll: true });
    if (typed) fresh?.dispatchEvent(new Event("input", { bubbles: true }));
  }

  async panel({ quiet = false } = {}) {
    const box = document.getElementById("panel"), scroll = box.querySelector(".body")?.scrollTop ?? 0;
    const html = await this.#fetch("panel");
    if (html === null) return;
    const within = quiet && box.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    box.innerHTML = html;
    if (quiet && box.querySelector(".body")) box.querySelector(".body").scrollTop = scroll;
    if (within) box.querySelector(`[href="${CSS.escape(within)}"]`)?.focus({ preventScroll: true });
    this.onPanel?.();
  }

  async head() {
    const box = document.getElementById("head");
    if (box.querySelector("dialog[open], details[open]")) return void setTimeout(() => this.head(), 1500);
    const html = await this.#fetch("head");
    if (html === null) return;
    box.innerHTML = html;
    globalThis.htmx?.process(box);
    this.onHead?.();
  }

  /** The block of rows that begins at number `from`, as an element. */
  async rows(from) {
    const html = await this.#fetch("rows", { from });
    if (html === null) return null;
    const table = document.createElement("table");
    table.innerHTML = html;
    return table.querySelector("tbody");
  }

  // A newer fetch of a part makes an older one worthless.
  async #fetch(part, more = {}) {
    this.running[part]?.abort();
    const stop = new AbortController();
    this.running[part] = stop;
    const url = new URL(location.href);
    url.hash = "";
    if (part) url.searchParams.set("part", part);
    for (const [name, value] of Object.entries(more)) url.searchParams.set(name, value);
    try {
      const answer = await fetch(url, { signal: stop.signal, headers: { "X-Requested-With": "fetch" } });
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      const html = await answer.text();
      return stop.signal.aborted ? null : html;
    } catch (error) {
      if (error.name === "AbortError") return null;
      document.dispatchEvent(new CustomEvent("toast", { detail: { text: "This part of the page could not be fetched. Try again.", failed: true } }));
      return null;
    }
  }
}
