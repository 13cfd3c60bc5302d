// The launch form: values are checked while one types and kept over a reload; the first error is where one lands.
const form = document.querySelector("[data-launch]");
// Of one form, whatever of its graph is opened and whichever step is chosen in it.
const about = new URLSearchParams([...new URLSearchParams(location.search)].filter(([name]) => ["run", "version", "experiment"].includes(name)));
const store = `kfdash.launch:${location.pathname}?${about}`;
const DELAY = 400;

const controls = () => [...form.elements].filter((one) => one.name && one.name !== "csrfmiddlewaretoken");
const box = (control) => control.closest(".frow2, div");

// --- checking: what is no JSON or no number is said at once; the server checks everything again ---

function jsonProblem(text, word) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return `Not JSON yet: ${error.message}.`;
  }
  const fits = word === "list" ? Array.isArray(value) : value !== null && typeof value === "object" && !Array.isArray(value);
  return fits ? "" : `A ${word} is needed: JSON in ${word === "list" ? "[ ]" : "{ }"}.`;
}

function numberProblem(text, word) {
  if (word === "integer") return /^\s*[+-]?\d+\s*$/.test(text) ? "" : "Not a whole number.";
  return /^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*$/.test(text) ? "" : "Not a number.";
}

function problem(control) {
  if (!control.value.trim()) return "";
  if (control.dataset.json) return jsonProblem(control.value, control.dataset.json);
  if (control.dataset.number) return numberProblem(control.value, control.dataset.number);
  return "";
}

function say(control, text) {
  const line = document.getElementById(`${control.name}-error`);
  if (!line) return;
  line.hidden = !text;
  line.querySelector("[data-says]").textContent = text;
  line.querySelector("[data-use]")?.remove();
  box(control).classList.toggle("bad", Boolean(text));
  if (text) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
  summarise();
}

function summarise() {
  const faulty = controls().filter((one) => one.getAttribute("aria-invalid") === "true");
  const summary = document.querySelector("[data-summary]");
  if (!faulty.length) return summary.replaceChildren();
  const words = document.createElement("span");
  words.className = "cut";
  words.append(`${faulty.length} ${faulty.length === 1 ? "input needs" : "inputs need"} a change: `);
  faulty.forEach((control, index) => {
    const link = document.createElement("a");
    link.className = "under";
    link.href = `#${control.id}`;
    link.textContent = control.name.replace(/^input\./, "");
    words.append(index ? ", " : "", link);
  });
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  icon.setAttribute("class", "si");
  icon.setAttribute("viewBox", "0 0 16 16");
  icon.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  icon.firstChild.setAttribute("href", "#st-FAILED");
  summary.replaceChildren(icon, words);
}

// --- keeping what was typed ---

function keep() {
  const values = controls().map((one) => [one.name, one.type === "checkbox" || one.type === "radio" ? [one.value, one.checked] : one.value]);
  sessionStorage.setItem(store, JSON.stringify(values));
}

function restore() {
  const kept = sessionStorage.getItem(store);
  if (!kept) return;
  for (const [name, value] of JSON.parse(kept)) {
    const same = controls().filter((one) => one.name === name);
    if (Array.isArray(value)) same.filter((one) => one.value === value[0]).forEach((one) => (one.checked = value[1]));
    else if (same[0]) same[0].value = value;
  }
}

// --- small helps ---

function markChanged(control) {
  const row = control.closest("[data-field]");
  if (!row) return;
  const reset = row.querySelector("[data-reset]");
  const usual = row.querySelector(".prev [data-use]")?.dataset.use ?? reset?.dataset.use;
  if (usual === undefined) return;
  const current = control.type === "checkbox" ? String(control.checked) : control.value;
  row.querySelector(".ch").hidden = current === usual;
  if (reset) reset.hidden = current === usual;
}

function use(button) {
  const control = document.getElementById(button.dataset.for);
  if (control.type === "checkbox") control.checked = button.dataset.use === "true";
  else control.value = button.dataset.use;
  control.dispatchEvent(new Event("input", { bubbles: true }));
  control.focus();
}

function grow(area) {
  if (!area.matches("textarea")) return;
  area.rows = Math.min(Math.max(area.value.split("\n").length, area.matches(".one-line") ? 1 : 2), 14);
}

const timers = new WeakMap(); // of each control: going on to the next field is no reason to say nothing of this one
form.addEventListener("input", (event) => {
  const control = event.target;
  keep();
  markChanged(control);
  grow(control);
  clearTimeout(timers.get(control));
  if (control.getAttribute("aria-invalid") === "true" && !problem(control)) say(control, ""); // relief at once, blame later
  else timers.set(control, setTimeout(() => say(control, problem(control)), DELAY));
});
form.addEventListener("change", (event) => {
  if (event.target.name === "experiment") {
    const row = form.querySelector("[data-new-experiment]");
    row.hidden = event.target.value !== "new";
    if (!row.hidden) row.querySelector("input").focus();
  }
});
document.addEventListener("change", (event) => event.target.matches("[data-go]") && location.assign(event.target.value));
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-use]");
  if (button) use(button);
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches(".one-line") && !event.shiftKey) {
    event.preventDefault(); // as in a field of one line; Shift and Enter begin a new one
    form.requestSubmit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) form.requestSubmit();
});
form.addEventListener("submit", () => {
  sessionStorage.removeItem(store);
  document.querySelector(".launchbar [type=submit]").disabled = true;
});
addEventListener("pageshow", () => (document.querySelector(".launchbar [type=submit]").disabled = false));

const refused = form.querySelector('[aria-invalid="true"]');
if (refused) refused.focus();
else {
  restore();
  controls().forEach((control) => (markChanged(control), grow(control), problem(control) && say(control, problem(control))));
  for (const fold of form.querySelectorAll("[data-fold]")) fold.open ||= [...fold.querySelectorAll("textarea")].some((area) => area.value);
  const experiment = form.elements.experiment;
  form.querySelector("[data-new-experiment]").hidden = experiment.value !== "new";
}
