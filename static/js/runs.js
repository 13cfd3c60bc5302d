// The list of runs: the filter bar's tokens and suggestions, the selection and what is done to it, and rows kept fresh.
import { onKey, cursorRow } from "./keys.js";
import { refresh } from "./times.js";
import { toast } from "./toast.js";
import { showActive, watchRuns } from "./runs-live.js";

const KEYS = ["state", "experiment", "pipeline", "version", "name", "tag", "by", "started", "duration"];
const VALUES = {
  state: ["active", "running", "pending", "succeeded", "failed", "stopping", "stopped"],
  started: ["today", "yesterday", "24h", "7d", "30d"],
  duration: [">1m", ">10m", ">1h", "<1m"],
};
const ASKED = new Set(["delete", "stop", "tag"]); // a dialog comes first
const list = () => document.getElementById("runs");

// --- filter bar ---

function field() {
  return document.getElementById("filter");
}

function submit() {
  hideSuggestions();
  field().form.requestSubmit();
}

function isToken(text) {
  return /^-?\w+:("[^"]+"|[^\s"]+)$/.test(text);
}

function takeBack(input) {
  const last = [...input.form.querySelectorAll(".token")].pop();
  if (!last) return;
  input.value = last.querySelector("input").value;
  last.remove();
}

function suggestions(text) {
  const [, minus, key, colon, value] = /^(-?)(\w*)(:?)(.*)$/.exec(text) ?? [];
  if (key === undefined) return [];
  if (colon) return (VALUES[key] ?? []).filter((one) => one.startsWith(value)).map((one) => `${minus}${key}:${one}`);
  return KEYS.filter((one) => one.startsWith(key)).map((one) => `${minus}${one}:`);
}

function hideSuggestions() {
  const menu = document.getElementById("filter-menu");
  menu.hidden = true;
  field()?.setAttribute("aria-expanded", "false");
  field()?.removeAttribute("aria-activedescendant");
}

function showSuggestions() {
  const menu = document.getElementById("filter-menu"), found = suggestions(field().value.trim());
  menu.replaceChildren(...found.map((text, index) => {
    const item = document.createElement("li");
    item.id = `filter-option-${index}`;
    item.role = "option";
    item.textContent = text;
    item.dataset.suggestion = text;
    return item;
  }));
  menu.hidden = !found.length;
  field().setAttribute("aria-expanded", String(found.length > 0));
}

function choose(text) {
  field().value = text;
  if (text.endsWith(":")) showSuggestions();
  else submit();
  field().focus();
}

function moveSuggestion(step) {
  const items = [...document.querySelectorAll("#filter-menu li")];
  if (!items.length) return;
  const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
  const next = items[(at + step + items.length + (at < 0 && step < 0 ? 1 : 0)) % items.length];
  items.forEach((item) => item.setAttribute("aria-selected", String(item === next)));
  field().setAttribute("aria-activedescendant", next.id);
}

document.addEventListener("keydown", (event) => {
  const input = event.target;
  if (input.id !== "filter") return;
  const chosen = document.querySelector('#filter-menu:not([hidden]) li[aria-selected="true"]');
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (document.getElementById("filter-menu").hidden) showSuggestions();
    moveSuggestion(event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
  } else if ((event.key === "Enter" || event.key === "Tab") && chosen) {
    event.preventDefault();
    choose(chosen.dataset.suggestion);
  } else if (event.key === " " && isToken(input.value.trim())) {
    event.preventDefault();
    submit();
  } else if (event.key === "Backspace" && !input.value) {
    event.preventDefault();
    takeBack(input);
  } else if (event.key === "Escape") {
    hideSuggestions();
  }
});
document.addEventListener("input", (event) => event.target.id === "filter" && showSuggestions());
document.addEventListener("focusin", (event) => {
  if (event.target.id === "filter") showSuggestions();
  else if (list()) hideSuggestions();
});
document.addEventListener("mousedown", (event) => {
  const item = event.target.closest("[data-suggestion]");
  if (item) event.preventDefault(), choose(item.dataset.suggestion);
  else if (event.target.id !== "filter" && list()) hideSuggestions();
});
document.addEventListener("click", (event) => {
  const remove = event.target.closest("[data-remove]");
  if (!remove) return;
  const form = remove.form;
  remove.closest(".token").remove();
  form.requestSubmit();
});
// One `q` in the address instead of one a token, and none that is empty.
document.addEventListener("htmx:configRequest", (event) => {
  if (!event.detail.elt.matches("[data-filter]")) return;
  const query = new FormData(event.detail.elt).getAll("q").filter(Boolean).join(" ").trim();
  event.detail.parameters.delete("q");
  if (query) event.detail.parameters.set("q", query);
});

// --- selection ---

let anchor = null;
const boxes = () => [...list().querySelectorAll("tbody input[type=checkbox]")];
const selected = () => boxes().filter((box) => box.checked);

function showSelection() {
  const bulk = document.getElementById("bulk");
  if (!bulk) return;
  const chosen = selected();
  for (const box of boxes()) box.closest("tr").setAttribute("aria-selected", String(box.checked));
  bulk.hidden = !chosen.length;
  bulk.querySelector("[data-count]").textContent = chosen.length;
  const all = list().querySelector("[data-select-all]");
  if (all) all.checked = chosen.length > 0 && chosen.length === boxes().length;
  const again = bulk.querySelector("[data-again]"), address = chosen.length === 1 && chosen[0].closest("tr").dataset.again;
  again.hidden = !address;
  if (address) again.href = address;
}

document.addEventListener("click", (event) => {
  if (!list()?.contains(event.target)) return;
  if (event.target.matches("[data-select-all]")) {
    boxes().forEach((box) => (box.checked = event.target.checked));
  } else if (event.target.matches("tbody input[type=checkbox]")) {
    const all = boxes(), at = all.indexOf(event.target), from = all.indexOf(anchor);
    if (event.shiftKey && from >= 0) {
      for (const box of all.slice(Math.min(at, from), Math.max(at, from) + 1)) box.checked = event.target.checked;
    }
    anchor = event.target;
  } else if (event.target.closest("[data-clear]")) {
    boxes().forEach((box) => (box.checked = false));
  } else if (event.target.closest("[data-action]")) {
    act(event.target.closest("[data-action]").dataset.action, selected().map((box) => box.value));
    return;
  } else {
    return;
  }
  showSelection();
});

function act(action, ids) {
  const address = document.getElementById("bulk").dataset.bulk;
  const values = { action, id: ids };
  if (ASKED.has(action)) htmx.ajax("GET", address, { target: "#dialog", values });
  else htmx.ajax("POST", address, { swap: "none", values });
}

document.addEventListener("runs:done", (event) => {
  document.querySelector("#dialog dialog")?.close();
  const { text, failed, undoAction, ids } = event.detail;
  toast(text, { failed, undo: undoAction ? () => act(undoAction, ids) : null });
  htmx.ajax("GET", location.pathname + location.search, { target: "#runs", swap: "outerHTML" });
});
document.addEventListener("htmx:afterSettle", (event) => list()?.contains(event.target) || event.target === list() ? showSelection() : null);
onKey("r", () => {
  const address = cursorRow()?.dataset.again;
  if (address) location.assign(address);
});

// --- fresh rows ---

const shown = (id) => list()?.querySelector(`tr[data-run="${CSS.escape(id)}"]`);

// Cells change in place; selection and cursor stay. A row under the pointer never moves.
function putRow(fresh) {
  const old = shown(fresh.dataset.run);
  if (!old) return;
  fresh.classList.toggle("cursor", old.classList.contains("cursor"));
  fresh.querySelector("input[type=checkbox]").checked = old.querySelector("input[type=checkbox]").checked;
  fresh.setAttribute("aria-selected", old.getAttribute("aria-selected"));
  if (old.contains(document.activeElement)) {
    for (const [index, cell] of [...fresh.cells].entries()) {
      if (!old.cells[index]?.contains(document.activeElement)) old.cells[index]?.replaceWith(cell.cloneNode(true));
    }
    old.dataset.state = fresh.dataset.state;
  } else {
    old.replaceWith(fresh);
  }
}

async function refreshRows(ids) {
  const wanted = ids.filter(shown);
  const query = new URLSearchParams(wanted.slice(0, 50).map((id) => ["id", id]));
  const answer = await fetch(`/runs/rows/?${query}`, { headers: { "HX-Request": "true" } });
  if (!answer.ok) return;
  showActive(answer.headers.get("X-Active-Runs"));
  const holder = document.createElement("template");
  holder.innerHTML = `<table><tbody>${await answer.text()}</tbody></table>`; // our own server's markup, escaped there
  holder.content.querySelectorAll("tr").forEach(putRow);
  refresh(list());
}

const unseen = new Set();

function announce(ids) {
  const note = document.getElementById("new-runs");
  if (!note || !list().dataset.newest) return;
  ids.filter((id) => !shown(id)).forEach((id) => unseen.add(id));
  note.hidden = !unseen.size;
  note.querySelector("[data-new-count]").textContent = `${unseen.size} new or changed ${unseen.size === 1 ? "run" : "runs"}, show`;
}

document.addEventListener("htmx:afterSwap", (event) => event.detail.target?.id === "runs" && unseen.clear());

if (list()) {
  watchRuns((ids) => {
    refreshRows(ids);
    announce(ids);
  }, () => refreshRows([...list().querySelectorAll("tr[data-run]")].map((row) => row.dataset.run)));
}
