// The graph of a pipeline before any run: opening and folding groups goes through the address.
import { Graph } from "./graph.js";
import { onKey } from "./keys.js";
import { toggled } from "./opened.js";

const KEPT = "kfdash.graph.spot";

function start(canvas) {
  const graph = new Graph(canvas);
  const kept = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (kept) graph.held = JSON.parse(kept);
  const go = (node) => {
    sessionStorage.setItem(KEPT, JSON.stringify(graph.spot(node.dataset.path)));
    location.assign(toggled(location.href, node.dataset.path));
  };
  canvas.addEventListener("click", (event) => {
    const fold = event.target.closest("[data-unfold], [data-fold]");
    if (!fold) return;
    event.preventDefault();
    go(fold.closest(".node"));
  });
  onKey("f", () => graph.fit());
  onKey("+", () => graph.zoom(1.25));
  onKey("-", () => graph.zoom(.8));
}

if (document.querySelector("[data-plan-graph]")) for (const canvas of document.querySelectorAll("[data-canvas]")) start(canvas);
