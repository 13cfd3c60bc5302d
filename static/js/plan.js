// The graph of a pipeline before any run: opening and folding groups goes through the address.
import { Graph } from "./graph.js";
import { onKey } from "./keys.js";
import { toggled } from "./opened.js";

const KEPT = "kfdash.graph.spot";

let graph = null;

function start(canvas, held = null) {
  graph = new Graph(canvas);
  const kept = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  graph.held = kept ? JSON.parse(kept) : held;
  const go = (node) => {
    sessionStorage.setItem(KEPT, JSON.stringify(graph.spot(node.dataset.path)));
    location.assign(toggled(location.href, node.dataset.path));
  };
  canvas.addEventListener("click", (event) => {
    const fold = event.target.closest("[data-unfold], [data-fold]");
    if (fold) {
      event.preventDefault();
      go(fold.closest(".node"));
    } else if (event.target.closest("#plan a.node")) {
      sessionStorage.setItem(KEPT, JSON.stringify(graph.spot(event.target.closest("a.node").dataset.path))); // another plan, the same sight
    }
  });
}

onKey("f", () => graph?.fit());
onKey("+", () => graph?.zoom(1.25));
onKey("-", () => graph?.zoom(.8));

// A plan that is made anew keeps what is seen where it was.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target.id === "plan" && graph) event.target.held = graph.spot(graph.nodes[0]?.dataset.path);
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.id !== "plan") return;
  graph?.resized.disconnect();
  graph = null;
  const canvas = event.target.querySelector("[data-canvas]");
  if (canvas) start(canvas, event.target.held);
});

if (document.querySelector("[data-plan-graph]")) for (const canvas of document.querySelectorAll("[data-canvas]")) start(canvas);
