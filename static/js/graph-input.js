// How a graph is moved and walked through: dragging, wheel, two fingers, arrows along the edges.

/** Drag to pan, wheel and two fingers to zoom. */
export function movable(graph) {
  const down = new Map();
  let moved = false, spread = 0;
  const { svg } = graph;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    down.set(event.pointerId, [event.clientX, event.clientY]);
    moved = false;
  });
  svg.addEventListener("pointermove", (event) => {
    const last = down.get(event.pointerId);
    if (!last) return;
    const now = [event.clientX, event.clientY], dx = now[0] - last[0], dy = now[1] - last[1];
    if (!moved && Math.hypot(dx, dy) < 4 && down.size === 1) return;
    if (!moved) { moved = true; svg.setPointerCapture(event.pointerId); svg.classList.add("dragging"); }
    down.set(event.pointerId, now);
    if (down.size === 2) {
      const [a, b] = [...down.values()], wide = Math.hypot(a[0] - b[0], a[1] - b[1]);
      const { left, top } = graph.canvas.getBoundingClientRect();
      if (spread) graph.zoom(wide / spread, [(a[0] + b[0]) / 2 - left, (a[1] + b[1]) / 2 - top]);
      spread = wide;
    } else graph.look(graph.view.x - dx / graph.view.k, graph.view.y - dy / graph.view.k, graph.view.k);
  });
  const up = (event) => { down.delete(event.pointerId); spread = 0; if (!down.size) svg.classList.remove("dragging"); };
  svg.addEventListener("pointerup", up);
  svg.addEventListener("pointercancel", up);
  svg.addEventListener("click", (event) => { if (moved) { event.preventDefault(); event.stopPropagation(); moved = false; } }, true);
  svg.addEventListener("dragstart", (event) => event.preventDefault());
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { left, top } = graph.canvas.getBoundingClientRect();
    if (event.ctrlKey || !event.shiftKey && Math.abs(event.deltaY) >= Math.abs(event.deltaX)) graph.zoom(Math.exp(-event.deltaY * .002), [event.clientX - left, event.clientY - top]);
    else graph.look(graph.view.x + (event.deltaX || event.deltaY) / graph.view.k, graph.view.y, graph.view.k);
  }, { passive: false });
}

/** The graph is one tab stop; arrows move the focus from node to node. */
export function walkable(graph) {
  graph.svg.addEventListener("keydown", (event) => {
    const node = event.target.closest?.(".node, .art");
    if (!node || !event.key.startsWith("Arrow") || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = neighbour(graph, node, event.key);
    event.preventDefault();
    if (!next) return;
    node.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus({ preventScroll: true });
    graph.reveal(next);
  });
}

/** Up and down along the edges; left and right to the nearest node of about the same height. */
function neighbour(graph, node, key) {
  if (key === "ArrowUp" || key === "ArrowDown") {
    const [here, there] = key === "ArrowDown" ? ["tail", "head"] : ["head", "tail"];
    const ends = (graph.edgesAt.get(node.id) ?? []).filter((edge) => edge.dataset[here] === node.id).map((edge) => document.getElementById(edge.dataset[there]));
    const x = graph.box(node).x;
    return ends.filter(Boolean).sort((a, b) => Math.abs(graph.box(a).x - x) - Math.abs(graph.box(b).x - x))[0];
  }
  const from = graph.box(node), side = key === "ArrowRight" ? 1 : -1;
  return [...graph.svg.querySelectorAll(".node, .art")]
    .map((other) => ({ other, box: graph.box(other) }))
    .filter(({ box }) => (box.x - from.x) * side > 4 && Math.abs(box.y - from.y) < 60)
    .sort((a, b) => (a.box.x - b.box.x) * side || Math.abs(a.box.y - from.y) - Math.abs(b.box.y - from.y))[0]?.other;
}
