// "Find a step": dims what does not match in the view, counts among all steps of the run, and Enter goes from one to the next.
import { mergedAddress } from "./run-parts.js";

export class FindStep {
  constructor(page, parts) {
    Object.assign(this, { page, parts, at: "" });
    document.addEventListener("input", (event) => event.target.matches("[data-find-step]") && this.dim(event.target));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.matches("[data-find-step]")) this.next(event.target.value, event.shiftKey ? -1 : 1);
    });
  }

  dim(field) {
    const needle = field.value.trim().toLowerCase();
    const fits = needle ? (element) => `${element.dataset.name} ${element.dataset.path}`.toLowerCase().includes(needle) : null;
    this.page.graph?.filter(fits);
    for (const row of document.querySelectorAll("#left tr[data-path]")) row.classList.toggle("unmatched", Boolean(fits) && !fits(row));
    this.at = "";
    const count = needle ? this.#found(needle).length : 0;
    field.parentElement.querySelector("[data-find-count]").textContent = !needle ? "" : count.toLocaleString("en");
  }

  next(text, step) {
    const needle = text.trim().toLowerCase(), found = needle ? this.#found(needle) : [];
    if (!found.length) return;
    this.at = found[(found.indexOf(this.at) + step + found.length + (this.at || step > 0 ? 0 : 1)) % found.length];
    const url = new URL(location.href);
    url.searchParams.set("task", this.at);
    url.searchParams.delete("attempt");
    url.hash = "";
    this.parts.chosen = true;
    this.parts.go(mergedAddress(url.href, "panel"), "panel");
    const row = document.querySelector(`#left tr[data-path="${CSS.escape(this.at)}"]`), node = this.page.graph?.node(this.at);
    for (const one of document.querySelectorAll("#left .found")) one.classList.remove("found");
    (row ?? node)?.classList.add("found");
    row?.scrollIntoView({ block: "nearest" });
    if (node) this.page.graph.reveal(node);
  }

  // Rows that were not fetched yet and what lies in folded groups are found by their paths, those in sight by their names, too.
  #found(needle) {
    const named = new Map([...document.querySelectorAll("#left [data-path][data-name]")].map(({ dataset }) => [dataset.path, dataset.name]));
    const tasks = [...this.page.state.tasks.values()].filter(({ path }) => path !== "root");
    const all = tasks.length ? tasks : [...named.keys()].map((path) => ({ path, kind: "" }));
    const fits = ({ path }) => `${named.get(path) ?? ""} ${last(path)}`.toLowerCase().includes(needle);
    const steps = all.filter((task) => fits(task) && task.kind !== "dag");
    return (steps.length ? steps : all.filter(fits)).map(({ path }) => path);
  }
}

// A step's own name with the iteration it is in: `train[3]` and `[3]` both find root/loop[3]/train.
function last(path) {
  const name = path.slice(path.lastIndexOf("/") + 1), index = /\[\d+\]/.exec(path.slice(0, path.lastIndexOf("/") + 1).split("/").reverse().find((part) => part.endsWith("]")) ?? "");
  return `${name}${index ? index[0] : ""}`;
}
