// The keyboard: / searches, j k move, Enter opens, x selects, ? explains. Single letters can be turned off.
const STORE = "kfdash.keys";
const handlers = new Map();

export function lettersAct() {
  return localStorage.getItem(STORE) !== "off";
}

// Pages add their own keys: onKey("g", () => showGraph()).
export function onKey(key, handler) {
  handlers.set(key, handler);
}

function typing(target) {
  return target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
}

function rows() {
  return [...document.querySelectorAll("[data-row]")].filter((row) => row.checkVisibility());
}

export function cursorRow() {
  return document.querySelector("[data-row].cursor");
}

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(cursorRow() ?? all.find((row) => row.matches('[aria-current="page"]')));
  const next = all[Math.max(0, Math.min(all.length - 1, at < 0 && step < 0 ? 0 : at + step))];
  cursorRow()?.classList.remove("cursor");
  next.classList.add("cursor");
  next.scrollIntoView({ block: "nearest" });
}

function search(event) {
  const field = document.querySelector("[data-find]");
  if (!field) return;
  event.preventDefault();
  field.focus();
}

export function startKeys() {
  onKey("/", search);
  onKey("j", () => move(1));
  onKey("k", () => move(-1));
  onKey("Enter", (event) => {
    if (event.target.closest("a, button, summary")) return;
    const row = cursorRow();
    (row?.matches("a[href]") ? row : row?.querySelector("a[href]"))?.click();
  });
  onKey("x", () => cursorRow()?.querySelector("input[type=checkbox]")?.click());
  onKey("?", () => document.getElementById("keys").showModal());

  const choice = document.querySelector("[data-single-keys]");
  choice.checked = lettersAct();
  choice.addEventListener("change", () => localStorage.setItem(STORE, choice.checked ? "on" : "off"));

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (document.querySelector("dialog[open]")) return;
    if (event.key.length === 1 && event.key !== "?" && !lettersAct()) return;
    handlers.get(event.key)?.(event);
  });
}
