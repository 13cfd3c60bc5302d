// Paints what the socket tells: nodes, strips, rows, counts, head, title and favicon. Only states and texts change in place.
import { isBare } from "./graph-inside.js";
import { paint, repaint } from "./paint.js";
import { counts, iterationOf, lookOf, unborn, worst } from "./run-state.js";
import { clock, duration } from "./times.js";

const WORDS = {
  PENDING: "Pending", WAITING: "Waiting", STARTING: "Starting", RUNNING: "Running", SUCCEEDED: "Succeeded", CACHED: "Cached", SKIPPED: "Skipped",
  FAILED: "Failed", CANCELING: "Stopping", CANCELED: "Stopped",
};
const ICONS = {
  PENDING: ["#808792", '<circle cx="8" cy="8" r="6" fill="none" stroke="C" stroke-width="2" stroke-dasharray="2.2 2.5"/>'],
  RUNNING: ["#2f86e8", '<circle cx="8" cy="8" r="6.3" fill="none" stroke="C" stroke-width="2.4"/><circle cx="8" cy="8" r="2.6" fill="C"/>'],
  SUCCEEDED: ["#2a9a54", '<circle cx="8" cy="8" r="7.5" fill="C"/><path d="m4.6 8.3 2.3 2.3 4.4-4.9" fill="none" stroke="#fff" stroke-width="2"/>'],
  FAILED: ["#d6304a", '<path d="M5 .5h6L15.500 5v6L11 15.500H5L.5 11V5z" fill="C"/><path d="m5.300 5.300 5.400 5.400m0-5.400-5.400 5.400" stroke="#fff" stroke-width="2"/>'],
  CANCELING: ["#c2660f", '<circle cx="8" cy="8" r="6.500" fill="none" stroke="C" stroke-width="2"/><rect x="5" y="5" width="6" height="6" fill="C"/>'],
  CANCELED: ["#8a7768", '<circle cx="8" cy="8" r="6.500" fill="none" stroke="C" stroke-width="2"/><rect x="5" y="5" width="6" height="6" fill="C"/>'],
  SKIPPED: ["#808792", '<circle cx="8" cy="8" r="6.500" fill="none" stroke="C" stroke-width="2"/>'],
};
const wordOf = (task) => WORDS[task.starting ? "STARTING" : lookOf(task)];
const SVG = "http://www.w3.org/2000/svg";

// The link that filters by a state, for a state that no step had when the page was rendered.
function countLink(look) {
  const link = document.createElement("a"), icon = document.createElementNS(SVG, "svg"), number = document.createElement("span");
  const url = new URL(location.href);
  url.searchParams.set("state", look);
  Object.assign(link, { href: url.search, title: `${WORDS[look]}: show these only` });
  Object.assign(link.dataset, { go: "left", look });
  for (const [name, value] of Object.entries({ class: "si", viewBox: "0 0 16 16", role: "img", "aria-label": WORDS[look] })) icon.setAttribute(name, value);
  icon.append(document.createElementNS(SVG, "use"));
  paint(icon, { state: { WAITING: "PENDING", CACHED: "SUCCEEDED" }[look] ?? look, attention: look === "WAITING", cached: look === "CACHED" });
  number.dataset.count = "";
  link.append(icon, number);
  return link;
}

const ROWS_EVERY = 1500, PANEL_EVERY = 700, HEAD_EVERY = 300;

export class Painter {
  constructor(page, main, parts) {
    Object.assign(this, { page, main, parts, later: {} });
    setInterval(() => this.#timeline(), 2000);
  }

  /** All that is on the page, for a snapshot or a part that was fetched. */
  all(changed = null) {
    if (!this.page.state.run || this.#elsewhere()) return;
    this.index = new Map();
    for (const element of document.querySelectorAll("#left [data-path]")) {
      if (!this.index.has(element.dataset.path)) this.index.set(element.dataset.path, []);
      this.index.get(element.dataset.path).push(element);
      const task = this.page.state.tasks.get(element.dataset.path);
      if (task) this.#element(element, task);
      else if (element.matches("a.node")) this.#element(element, unborn(this.page.state, element.dataset.path));
    }
    for (const strip of document.querySelectorAll("use.mk")) this.#mark(strip);
    this.#counts();
    this.run();
    if (changed) this.#follow(changed);
    this.panel();
  }

  /** Boxes of a large graph that were filled just now, with what they came with. */
  filled(nodes) {
    if (!this.page.state.run || this.#elsewhere()) return;
    for (const node of nodes) {
      const task = this.page.state.tasks.get(node.dataset.path) ?? unborn(this.page.state, node.dataset.path);
      repaint(node, task);
      this.#line(node, task);
      for (const mark of node.querySelectorAll("use.mk")) this.#mark(mark);
    }
  }

  /** The panel may have been rendered before the state that is known here. */
  panel() {
    const head = document.querySelector("[data-panel-path]"), task = this.page.state.tasks.get(head?.dataset.panelPath);
    if (task && !this.parts.travelling && head.dataset.panelState !== task.state && head.dataset.state !== task.state) this.#panel(head, task);
  }

  some(changed) {
    if (this.parts.travelling) return;
    for (const path of changed) {
      const task = this.page.state.tasks.get(path);
      for (const element of this.index?.get(path) ?? []) this.#element(element, task);
      const iteration = iterationOf(path);
      if (iteration && !iteration.rest) this.#marks(iteration.loop, iteration.index);
    }
    this.#counts();
    this.run();
    this.#follow(changed);
  }

  /** Head, title and favicon follow the run's state. */
  run() {
    const { run } = this.page.state;
    if (!run || this.#elsewhere()) return;
    document.title = `${WORDS[run.state]}: ${this.main.dataset.title} · kfdash`;
    const shape = ICONS[run.state] ?? ICONS.PENDING;
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${shape[1].replaceAll("C\"", `${shape[0]}"`)}</svg>`;
    const icon = document.querySelector('link[rel="icon"]'), href = `data:image/svg+xml,${encodeURIComponent(svg)}`;
    if (icon && icon.href !== href) icon.href = href;
    const told = `${run.state} ${run.stop} ${run.paused} ${run.reason} ${run.started}`;
    if (this.told === undefined && this.main.dataset.state === run.state) this.told = told;
    if (this.told === told) return;
    this.told = told;
    this.main.dataset.state = run.state;
    const line = document.querySelector('[data-state-of="run"]');
    if (line) paint(line.querySelector(".si"), run);
    this.#soon("head", HEAD_EVERY, () => this.parts.head());
  }

  // --- one element ---

  #element(element, task) {
    if (element.localName === "tr") return this.#row(element, task);
    if (!element.classList.contains("node")) return undefined;
    const changed = paint(element, task);
    this.#line(element, task);
    if (changed) this.page.graph?.changed(element);
    else if (!task.since) this.page.graph?.texts.later(element);
    if (task.kind === "loop" && task.children && !isBare(element) && !element.querySelector("use.mk")) this.#soon("left", ROWS_EVERY, () => this.#left());
    return undefined;
  }

  #line(node, task) {
    const line = node.querySelector(".sub"), exits = task.state === "PENDING" && node.dataset.kind === "exit";
    if (!line) return;
    if (exits) return this.#clock(line, {}, "always runs last");
    line.classList.toggle("hot", task.state === "FAILED" || task.attention);
    this.#clock(line, task, task.line);
    const title = node.querySelector("title"), text = `${node.dataset.name}: ${wordOf(task).toLowerCase()}${task.why ? ` – ${task.why}` : ""}`;
    if (title && title.textContent !== text) title.textContent = text;
  }

  // A running clock is a start in the reader's time; the text of an ended one comes from the server.
  #clock(element, task, text) {
    if (task.since) {
      element.dataset.since = new Date(Date.parse(task.since) + this.page.skew).toISOString();
      element.textContent = clock((Date.now() - Date.parse(element.dataset.since)) / 1000);
    } else {
      if (element.dataset.since) delete element.dataset.since;
      if (text !== undefined && element.textContent !== text) element.textContent = text;
    }
    return undefined;
  }

  // A moment of the past is shown that came with the page: what is known is not of it.
  #elsewhere() {
    return this.parts.travelling && !this.page.past;
  }

  #row(row, task) {
    paint(row, task);
    row.dataset.look = lookOf(task);
    row.querySelector(".si")?.setAttribute("aria-label", wordOf(task));
    const why = row.querySelector("[data-why]");
    if (why) {
      if (why.textContent !== task.why) why.textContent = why.title = task.why;
      const hot = task.state === "FAILED" || task.attention;
      why.classList.toggle("why", hot);
      why.classList.toggle("mid", !hot);
    }
    const group = task.kind === "dag" || task.kind === "loop", tries = row.querySelector("[data-tries]");
    if (tries && !group) tries.textContent = task.attempt || "–";
    const cell = row.querySelector("[data-duration]"), begin = task.started ?? task.ready;
    if (!cell) return;
    const unbegun = !task.started && (task.state === "FAILED" || task.state === "CANCELED");
    if (!begin || unbegun || task.state === "PENDING" || task.state === "SKIPPED") { delete cell.dataset.since; cell.textContent = "–"; }
    else if (task.finished) { delete cell.dataset.since; cell.textContent = duration((Date.parse(task.finished) - Date.parse(begin)) / 1000); }
    else cell.dataset.since = new Date(Date.parse(begin) + this.page.skew).toISOString();
  }

  #marks(loop, index) {
    const within = `#left .node[data-path="${CSS.escape(loop)}"], .iter[data-loop="${CSS.escape(loop)}"]`;
    for (const strip of document.querySelectorAll(within)) {
      if (isBare(strip)) continue;
      const mark = [...strip.querySelectorAll("use.mk")].find(({ dataset: { first, count } }) => index >= +first && index < +first + +count);
      if (mark) this.#mark(mark);
      else this.#soon("left", ROWS_EVERY, () => this.#left());
    }
  }

  #mark(mark) {
    const loop = mark.closest(".node")?.dataset.path ?? mark.closest(".iter")?.dataset.loop;
    if (loop) paint(mark, worst(this.page.state, loop, Number(mark.dataset.first), Number(mark.dataset.count)));
  }

  // --- the rest of the page ---

  #counts() {
    const box = document.querySelector("#left .counts");
    if (!box) return;
    const found = counts(this.page.state), links = new Map([...box.querySelectorAll("[data-look]")].map((link) => [link.dataset.look, link]));
    if ([...links.keys()].join() !== [...found.keys()].join()) box.replaceChildren(...[...found.keys()].map((look) => links.get(look) ?? countLink(look)));
    for (const link of box.querySelectorAll("[data-look]")) {
      const number = link.querySelector("[data-count]"), text = String(found.get(link.dataset.look));
      if (number.textContent !== text) number.textContent = text;
    }
  }

  #follow(changed) {
    if (!changed.length) return;
    const rows = document.querySelector("#left [data-rows]");
    if (rows && changed.some((path) => !this.#shown(path))) this.#soon("left", ROWS_EVERY, () => this.#left());
    const head = document.querySelector("[data-panel-path]"), path = head?.dataset.panelPath;
    const hit = path && changed.find((one) => one === path || (path === "root" && one === "root"));
    if (hit) this.#panel(head, this.page.state.tasks.get(path));
    const trouble = changed.some((one) => ["FAILED", "PENDING"].includes(this.page.state.tasks.get(one).state) && (this.page.state.tasks.get(one).attention || this.page.state.tasks.get(one).state === "FAILED"));
    if (trouble || (changed.length && document.querySelector("#head .notice[data-attention]"))) this.#soon("head", HEAD_EVERY, () => this.parts.head());
  }

  // A row may be folded away or further down than what has been fetched: then nothing is amiss.
  #shown(path) {
    if (path === "root" || this.index?.has(path)) return true;
    if (document.querySelector("#left tbody[data-next]")) return true;
    this.known ??= new Set();
    const known = this.known.has(path);
    this.known.add(path);
    return known;
  }

  #panel(head, task) {
    paint(head, task);
    const log = this.page.log;
    const newer = head.dataset.attempt && Number(head.dataset.attempt) !== task.attempt && !new URLSearchParams(location.search).has("attempt");
    if (log && !newer) {
      if (task.finished) log.finish();
      return;
    }
    this.#soon("panel", PANEL_EVERY, () => this.parts.panel({ quiet: true }));
  }

  #left() {
    if (document.querySelector("#left :is(.dragging, a:focus-visible)")) return this.#soon("left", ROWS_EVERY, () => this.#left());
    if (this.page.graph) this.parts.held = this.page.graph.spot(this.page.graph.nodes[0]?.dataset.path);
    return this.parts.left();
  }

  // Bars grow with time: while something runs, the timeline is drawn anew.
  #timeline() {
    const pane = document.querySelector('#left [data-view="timeline"]');
    if (pane && !document.hidden && !this.parts.travelling && this.page.state.run && !this.page.state.run.finished && pane.querySelectorAll("tr").length < 450) this.#left();
  }

  #soon(name, wait, action) {
    if (this.later[name]) return;
    this.later[name] = setTimeout(() => { this.later[name] = null; if (name === "left" || !this.parts.travelling) action(); }, wait);
  }
}
