// The log: blocks of 200 lines, of which only those in sight are filled; it follows, searches, filters, links.
import { folded, lineElement } from "./log-lines.js";
import { LogChoice } from "./log-choice.js";
import { LogLooks } from "./log-looks.js";
import { LogSearch } from "./log-search.js";

const BLOCK = 200, LINE = 19, KEPT_LINES = 40000;

export class LogView {
  constructor(root, live) {
    this.root = root;
    this.live = live;
    this.box = root.querySelector("[data-log-lines]");
    this.key = root.dataset.key;
    this.count = Number(root.dataset.count);
    this.ended = root.hasAttribute("data-ended");
    this.lines = new Map();
    this.fetching = new Map();
    this.unfolded = new Set();
    this.choice = new LogChoice(root, this.box);
    this.level = "";
    this.unread = 0;
    this.stop = new AbortController();
    this.search = new LogSearch(this);
    this.looks = new LogLooks(root, this.box, () => this.box.querySelectorAll("[data-filled]").forEach((block) => this.fill(block)));
    this.#takeFromPage();
    this.observer = new IntersectionObserver((entries) => entries.forEach((entry) => this.#seen(entry)), { root: this.box, rootMargin: "1500px 0px" });
    this.#build();
    this.#buttons();
    this.following = !this.ended && !this.choice.first;
    this.showFollow();
    if (this.choice.first) this.show(this.choice.first); else this.#bottom();
    this.follow();
  }

  close() {
    this.observer.disconnect();
    this.stop.abort();
    this.live?.send({ type: "log.leave" });
  }

  /** Asks the socket for what comes after our last line; also after a lost connection. */
  follow() {
    this.live?.send({ type: "log.follow", log: this.key, from: this.count + 1 });
  }

  /** Lines from the socket: { log, lines, count, ended }. */
  take({ log, lines, count, ended }) {
    if (log !== this.key) return;
    for (const line of lines) this.lines.set(line[0], line);
    if (count > this.count) {
      const before = this.count, atBottom = this.following;
      this.count = count;
      this.grow(before);
      this.unread += count - before;
      if (atBottom) this.#bottom(); else this.#offerNew();
      this.root.querySelector("[data-log-total]").textContent = `${count.toLocaleString("en")} lines`;
      for (const line of lines) this.search.count(line);
    }
    if (ended) this.finish();
  }

  /** The attempt is over: nothing more will come. */
  finish() {
    if (this.ended) return;
    this.ended = true;
    this.root.setAttribute("data-ended", "");
    const button = this.root.querySelector("[data-log-follow]");
    button.disabled = true;
    button.title = "Follow: the step has ended";
    this.showFollow();
  }

  // --- blocks ---

  #takeFromPage() {
    for (const row of this.box.querySelectorAll(".ln")) {
      const body = row.querySelector("span"), chip = body.querySelector(".chip"), level = row.className.split(" ")[1] ?? "";
      const text = chip ? body.textContent.slice(chip.textContent.length) : body.textContent;
      this.lines.set(Number(row.dataset.number), [Number(row.dataset.number), Number(row.querySelector("time").dataset.at), chip ? "k" : "o", level, text]);
    }
  }

  #build() {
    if (!this.count) return;
    this.box.replaceChildren();
    this.grow(0);
  }

  grow(before) {
    this.box.querySelector(".log-none")?.remove();
    if (this.level) return;
    const blocks = Math.ceil(this.count / BLOCK);
    const last = before ? this.box.querySelector(`[data-block="${Math.ceil(before / BLOCK) - 1}"]`) : null;
    if (last?.dataset.filled) this.fill(last); else if (last) this.#empty(last);
    for (let index = this.box.querySelectorAll("[data-block]").length; index < blocks; index += 1) {
      const block = document.createElement("div");
      block.dataset.block = index;
      this.#empty(block);
      this.box.append(block);
      this.observer.observe(block);
    }
  }

  #range(block) {
    const first = Number(block.dataset.block) * BLOCK + 1;
    return [first, Math.min(this.count, first + BLOCK - 1)];
  }

  #empty(block) {
    const [first, last] = this.#range(block);
    const height = block.dataset.filled ? block.getBoundingClientRect().height : (last - first + 1) * LINE;
    delete block.dataset.filled;
    block.replaceChildren();
    block.style.height = `${height}px`;
  }

  #seen({ target, isIntersecting }) {
    target.inSight = isIntersecting;
    if (isIntersecting) this.fill(target);
    else if (target.dataset.filled) this.#empty(target);
  }

  async fill(block, { anyway = false } = {}) {
    const [first, last] = this.#range(block);
    if (!this.#have(first, last)) {
      if (!await this.#fetch(first, last) || !block.isConnected || this.level || !(anyway || block.inSight)) return;
    }
    const lines = [];
    for (let number = first; number <= last; number += 1) if (this.lines.has(number)) lines.push(this.lines.get(number));
    block.replaceChildren(...this.#elements(lines));
    block.style.height = "";
    block.dataset.filled = "yes";
    this.search.current();
    if (this.following) this.box.scrollTop = this.box.scrollHeight;
  }

  #elements(lines) {
    return folded(lines).map(({ line, fold, words }) => {
      if (line) return this.element(line);
      const first = fold[0][0], open = this.unfolded.has(first) || fold.some(([number, , , , text]) => this.choice.has(number) || (this.search.finds(text)));
      if (open) {
        const part = document.createDocumentFragment();
        part.append(...fold.map((one) => this.element(one)));
        return part;
      }
      const row = document.createElement("div"), button = document.createElement("button");
      row.className = "foldl";
      button.className = "btn plain s";
      button.type = "button";
      button.dataset.unfoldLines = first;
      button.textContent = `› ${fold.length} ${words}`;
      row.append(button);
      return row;
    });
  }

  element(line) {
    return lineElement(line, { time: (at) => this.looks.time(at), needle: this.search.needle, chosen: this.choice.has(line[0]) });
  }

  #have(first, last) {
    for (let number = first; number <= last; number += 1) if (!this.lines.has(number)) return false;
    return true;
  }

  async #fetch(first, last) {
    const key = `${first}-${last}`;
    if (!this.fetching.has(key)) this.fetching.set(key, this.get(this.root.dataset.linesUrl, { first, limit: last - first + 1 }));
    const answer = await this.fetching.get(key);
    this.fetching.delete(key);
    if (!answer) return false;
    if (this.lines.size > KEPT_LINES) this.lines.clear();
    for (const line of answer.lines) this.lines.set(line[0], line);
    return true;
  }

  async get(address, query) {
    const url = new URL(address, location.href);
    url.searchParams.set("attempt", this.root.dataset.attempt);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    try {
      const answer = await fetch(url, { signal: this.stop.signal });
      if (!answer.ok) throw new Error(String(answer.status));
      this.#problem("");
      return await answer.json();
    } catch (error) {
      if (error.name !== "AbortError") this.#problem("The log could not be read. It is tried again when you scroll.");
      return null;
    }
  }

  #problem(text) {
    let note = this.root.querySelector(".log-problem");
    if (!text) return note?.remove();
    if (!note) {
      note = document.createElement("p");
      note.className = "log-problem";
      note.setAttribute("role", "alert");
      this.box.before(note);
    }
    note.textContent = text;
    return undefined;
  }

  // --- where one looks ---

  #bottom() {
    this.unread = 0;
    this.#offerNew();
    this.box.scrollTop = this.box.scrollHeight;
  }

  /** Brings a line into the middle, fetching what is around it. */
  async show(number) {
    if (this.level) this.search.setLevel("");
    const block = this.box.querySelector(`[data-block="${Math.floor((number - 1) / BLOCK)}"]`);
    if (!block) return;
    this.following = false;
    this.showFollow();
    await this.fill(block, { anyway: true });
    block.querySelector(`[data-number="${number}"]`)?.scrollIntoView({ block: "center" });
  }

  #offerNew() {
    const button = this.root.querySelector("[data-log-new]");
    button.hidden = !this.unread || this.following;
    button.textContent = `${this.unread.toLocaleString("en")} new line${this.unread === 1 ? "" : "s"}`;
  }

  showFollow() {
    const button = this.root.querySelector("[data-log-follow]");
    button.setAttribute("aria-pressed", String(this.following && !this.ended));
    if (this.following) this.unread = 0;
    this.#offerNew();
  }

  #buttons() {
    const on = (selector, event, action) => this.root.querySelector(selector).addEventListener(event, action);
    let last = 0;
    this.box.addEventListener("scroll", () => {
      const atBottom = this.box.scrollTop + this.box.clientHeight >= this.box.scrollHeight - 30, up = this.box.scrollTop < last - 4;
      last = this.box.scrollTop;
      if (this.following && up && !atBottom) { this.following = false; this.showFollow(); }
      else if (!this.following && atBottom && !this.ended && !this.level) { this.following = true; this.showFollow(); }
    });
    on("[data-log-new]", "click", () => { this.following = true; this.showFollow(); this.#bottom(); });
    on("[data-log-follow]", "click", () => { this.following = !this.following; this.showFollow(); if (this.following) this.#bottom(); });
    this.box.addEventListener("click", (event) => this.#clicked(event));
  }

  #clicked(event) {
    const fold = event.target.closest("[data-unfold-lines]");
    if (fold) {
      this.unfolded.add(Number(fold.dataset.unfoldLines));
      return this.fill(fold.closest("[data-block]"));
    }
    const link = event.target.closest(".ln > a");
    if (!link) return undefined;
    event.preventDefault();
    this.choice.take(Number(link.parentElement.dataset.number), event.shiftKey);
    this.following = false;
    return this.showFollow();
  }
}
