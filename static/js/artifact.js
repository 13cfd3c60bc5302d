// The page of an output: finding another output of the run, and the keys of ui.md.
import { onKey } from "./keys.js";

const field = document.querySelector("[data-find-output]"), list = document.querySelector(".olist");

// Groups stay while something in them fits; the step's own name counts, too.
function find() {
  const needle = field.value.trim().toLowerCase();
  let count = 0;
  for (const group of list.querySelectorAll("[data-step]")) {
    const whole = group.dataset.step.toLowerCase().includes(needle);
    let any = false;
    for (const item of group.querySelectorAll(".oitem")) {
      item.hidden = !whole && !item.textContent.toLowerCase().includes(needle);
      if (!item.hidden) { any = true; count += 1; }
    }
    group.hidden = !any;
  }
  list.querySelector("[data-none]").hidden = count > 0;
}

field?.addEventListener("input", find);
field?.addEventListener("keydown", (event) => {
  if (event.key === "Enter") list.querySelector(".oitem:not([hidden])")?.click();
  else if (event.key === "Escape") { field.value = ""; find(); }
});
onKey("d", () => document.querySelector('[data-key="d"]')?.click());
list?.querySelector('[aria-current="page"]')?.scrollIntoView({ block: "nearest" });
// On a small screen the list is behind a button.
const opener = document.querySelector("[data-outputs]");
opener?.addEventListener("click", () => {
  opener.setAttribute("aria-expanded", String(list.classList.toggle("shown")));
  if (list.classList.contains("shown")) list.querySelector('[aria-current="page"]')?.scrollIntoView({ block: "nearest" });
});
