// The page of a run: parts are fetched when the address changes, states are painted when the socket tells of them.
import { FindStep } from "./find-step.js";
import { Graph } from "./graph.js";
import { onKey } from "./keys.js";
import { Live, showLive } from "./live.js";
import { LogView } from "./log.js";
import { tailLine } from "./log-lines.js";
import { toggled } from "./opened.js";
import { grip, sheet } from "./panel.js";
import { mergedAddress, Parts } from "./run-parts.js";
import { Painter } from "./run-paint.js";
import { failures, NOTHING, reduce } from "./run-state.js";
import { refresh } from "./times.js";
import { fetchLater } from "./later.js";
import { Travel } from "./travel.js";

const main = document.getElementById("main");
const parts = new Parts();
const page = { now: NOTHING, past: null, graph: null, log: null, skew: 0 };
Object.defineProperty(page, "state", { get: () => page.past ?? page.now });
const painter = new Painter(page, main, parts);
new FindStep(page, parts);
const travel = new Travel(parts);

// --- parts that were put into the page ---

function startLeft() {
  page.graph = null;
  const canvas = document.querySelector("#left [data-canvas]");
  if (canvas) {
    page.graph = new Graph(canvas);
    page.graph.held = parts.held;
    page.graph.filled = (nodes) => painter.filled(nodes);
    parts.held = null;
    parts.anew = false;
  }
  if (document.querySelector("[data-graph-waits]")) setTimeout(() => parts.left(), 1500);
  watchRows();
  painter.all();
  refresh(document.getElementById("left"));
}

function startPanel() {
  const panel = document.getElementById("panel"), box = panel.querySelector("[data-log]");
  page.log?.close();
  page.log = box ? new LogView(box, live) : null;
  const split = document.getElementById("split"), head = panel.querySelector("[data-panel-path]");
  split.classList.toggle("wide", Boolean(box));
  split.classList.toggle("chosen", head.dataset.panelPath !== "root");
  const node = page.graph?.select(head.dataset.panelPath);
  if (node && parts.chosen) page.graph.reveal(node);
  parts.chosen = false;
  for (const row of document.querySelectorAll("#left tr[data-path]")) row.toggleAttribute("aria-selected", false);
  document.querySelector(`#left tr[data-path="${CSS.escape(head.dataset.panelPath)}"]`)?.setAttribute("aria-selected", "true");
  followTail(panel);
  painter.panel();
  refresh(panel);
  fetchLater(panel);
}

// The last lines of the overview follow the log, unless the log itself does.
function followTail(panel) {
  const tail = panel.querySelector("[data-tail]");
  page.tail = tail && panel.querySelector(".live") ? tail : null;
  if (page.log) return;
  if (!page.tail) return live?.send({ type: "log.leave" });
  const last = Number(tail.lastElementChild?.dataset.number ?? 0);
  page.tailKey = `${main.dataset.run}/${tail.dataset.tail}`;
  live?.send({ type: "log.follow", log: page.tailKey, from: last + 1 });
}

// Further rows of a long table come when one scrolls near them.
function watchRows() {
  const box = document.querySelector("#left [data-rows]");
  if (!box) return;
  const observer = new IntersectionObserver(async (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      observer.unobserve(entry.target);
      const body = await parts.rows(entry.target.dataset.next);
      if (!body || !entry.target.isConnected) continue;
      delete entry.target.dataset.next;
      entry.target.after(body);
      painter.all();
      if (body.dataset.next) observer.observe(body);
    }
  }, { root: box, rootMargin: "0px 0px 1200px 0px" });
  for (const body of box.querySelectorAll("tbody[data-next]")) observer.observe(body);
}

parts.onLeft = startLeft;
parts.onPanel = startPanel;
parts.keep = () => parts.anew ? null : page.graph?.spot(page.graph.nodes[0]?.dataset.path) ?? null;
parts.onSnapshot = (told) => {
  page.past = told && parts.travelling ? reduce(NOTHING, { type: "snapshot", ...told }).state : null;
  if (told && !parts.travelling) page.now = reduce(page.now, { type: "snapshot", ...told }).state;
};
parts.onMoment = () => { travel.show(); painter.all(); refresh(document.getElementById("travel")); };
parts.onHead = () => { if (page.liveStatus) showLive(live, ...page.liveStatus); painter.run(); refresh(document.getElementById("head")); };

// --- links and the address ---

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const fold = event.target.closest(".graph [data-unfold], .graph [data-fold]");
  if (fold) {
    event.preventDefault();
    return unfold(fold.closest(".node"));
  }
  const mark = event.target.closest(".iter .mk, .graph .mk");
  if (mark) {
    event.preventDefault();
    return parts.go(iterationAddress(mark), "panel");
  }
  const link = event.target.closest("a[data-go], .graph a.node, .graph a.art");
  if (!link || !link.closest("#main")) return;
  event.preventDefault();
  link.closest("details.menu")?.removeAttribute("open");
  const what = link.dataset.go ?? "panel", url = mergedAddress(link.getAttribute("href"), what);
  if (link.matches(".travelbtn")) url.searchParams.set("at", Math.max(url.searchParams.get("at"), page.now.number)); // the newest event
  parts.anew = link.matches(".artbtn"); // with artifacts it is another drawing: all of it is shown first
  parts.go(url, what);
});

function unfold(node) {
  parts.held = page.graph.spot(node.dataset.path);
  parts.go(toggled(location.href, node.dataset.path), "left");
}

// The same step in another iteration; from a folded loop the iteration's only step, or the iteration where it has several.
function iterationAddress(mark) {
  const switcher = mark.closest(".iter"), loop = switcher?.dataset.loop ?? mark.closest(".node").dataset.path;
  const url = new URL(location.href), iteration = `${loop}[${mark.dataset.first}]`;
  const inside = [...page.state.tasks.keys()].filter((path) => path.startsWith(`${iteration}/`));
  url.searchParams.set("task", iteration + (switcher?.dataset.rest || (inside.length === 1 ? inside[0].slice(iteration.length) : "")));
  url.searchParams.delete("attempt");
  url.hash = "";
  return url;
}

addEventListener("popstate", () => {
  const at = new URLSearchParams(location.search).get("at") ?? "", shown = document.querySelector("[data-travel]")?.dataset.travel ?? "";
  if (at !== shown) return parts.moment();
  parts.left();
  return parts.panel();
});

document.addEventListener("dblclick", (event) => {
  const node = event.target.closest(".graph a.node");
  if (node?.querySelector("[data-unfold], [data-fold]")) unfold(node);
});

// --- keyboard ---

const press = (selector) => () => document.querySelector(selector)?.click();
for (const key of ["g", "t", "i", "a", "p", "[", "]"]) onKey(key, press(`#main [data-key="${key}"]`));
onKey("l", press('#panel [data-tab="log"]'));
onKey("o", press('#panel [data-tab="io"]'));
onKey("r", press("[data-again]"));
onKey("f", () => page.graph?.fit());
onKey("+", () => page.graph?.zoom(1.25));
onKey("=", () => page.graph?.zoom(1.25));
onKey("-", () => page.graph?.zoom(.8));
onKey("w", press("[data-log-wrap]"));
onKey("Escape", press("[data-close-panel]"));
onKey("Enter", (event) => {
  const node = event.target.closest?.(".graph a.node");
  if (node?.matches('[aria-current="true"]') && node.querySelector("[data-unfold], [data-fold]")) {
    event.preventDefault();
    return unfold(node);
  }
  if (event.target.closest("a, button, summary")) return undefined;
  return document.querySelector("tr.cursor a.name")?.click();
});
onKey("n", () => {
  const failed = failures(page.state);
  if (!failed.length) return;
  const at = failed.findIndex((task) => task.path === document.querySelector("[data-panel-path]")?.dataset.panelPath);
  const url = new URL(location.href);
  url.searchParams.set("task", failed[(at + 1) % failed.length].path);
  url.searchParams.set("tab", "log");
  url.searchParams.delete("attempt");
  url.hash = "";
  parts.chosen = true;
  parts.go(url, "panel");
});

// --- the socket ---

const live = new Live(`/ws/runs/${main.dataset.run}/`, {
  status: (...status) => { page.liveStatus = status; showLive(live, ...status); },
  open: () => { page.log?.follow(); if (page.tail && !page.log) followTail(document.getElementById("panel")); },
  message(data) {
    if (data.type === "log.lines") {
      if (page.log) page.log.take(data);
      else if (page.tail && data.log === page.tailKey) tailLine(page.tail, data.lines);
      return;
    }
    if (data.now) page.skew = Date.now() - Date.parse(data.now);
    const { state, changed, resync } = reduce(page.now, data);
    if (resync) live.send({ type: "sync" });
    const first = page.now.number < 0;
    page.now = state;
    if (parts.travelling) return;
    // The page was rendered with the state of its number: only what came after that is news.
    if (first || data.type === "snapshot") painter.all(first && data.number === Number(main.dataset.number) ? null : changed);
    else painter.some(changed);
  },
});

// A failed run opens at its first failure: the address says so too.
const rendered = new URLSearchParams(main.dataset.address), address = new URL(location.href);
if (rendered.get("task") && !address.searchParams.has("task")) {
  for (const name of ["task", "tab"]) if (rendered.has(name)) address.searchParams.set(name, rendered.get(name));
  history.replaceState(null, "", address);
}
grip(document.getElementById("split"));
sheet(document.getElementById("split"));
if (matchMedia("(max-width: 760px)").matches && !new URLSearchParams(location.search).has("view") && document.querySelector('#left [data-view="graph"]')) {
  const url = new URL(location.href);
  url.searchParams.set("view", "table");
  history.replaceState(null, "", url);
  parts.left();
}
startLeft();
startPanel();
