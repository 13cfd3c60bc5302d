// The minimap: which part of a graph is seen, and how the boxes fare. One shape for all boxes of a look: thousands would each cost a layout.

const NS = "http://www.w3.org/2000/svg";
const FLAGS = ["attention", "cached"];

export class Minimap {
  constructor(graph, holder) { Object.assign(this, { graph, holder }); }

  /** Follows the view; hidden where the whole drawing is seen. */
  show() {
    const { view: { x, y, k }, size: { width, height }, margin } = this.graph;
    const outside = x > 1 || y > 1 || x + width / k < this.graph.width - 1 || y + height / k < this.graph.height - 1;
    this.holder.hidden = !outside;
    if (!outside) return;
    if (!this.svg) this.#make();
    const left = Math.max(x, -margin), top = Math.max(y, -margin);
    const right = Math.min(x + width / k, this.graph.width + margin), bottom = Math.min(y + height / k, this.graph.height + margin);
    put(this.port, { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) });
  }

  /** States have changed: it is drawn before the next frame. */
  later() {
    if (this.svg) this.frame ??= requestAnimationFrame(() => { this.frame = null; this.#draw(); });
  }

  #make() {
    const { width, height, margin } = this.graph;
    this.svg = put(document.createElementNS(NS, "svg"), { viewBox: `${-margin} ${-margin} ${width + 2 * margin} ${height + 2 * margin}` });
    this.port = put(document.createElementNS(NS, "rect"), { class: "port" });
    this.#draw();
    this.holder.append(this.svg);
  }

  #draw() {
    const looks = new Map();
    for (const node of this.graph.nodes) {
      const { x, y, width, height } = this.graph.box(node);
      const look = [node.dataset.state ?? "", ...FLAGS.filter((flag) => node.hasAttribute(`data-${flag}`))].join(" ");
      if (!looks.has(look)) looks.set(look, []);
      looks.get(look).push(`M${x} ${y}h${width}v${height}h${-width}z`);
    }
    const shapes = [...looks].map(([look, boxes]) => {
      const [state, ...flags] = look.split(" "), shape = put(document.createElementNS(NS, "path"), { class: "m", d: boxes.join("") });
      if (state) shape.dataset.state = state;
      for (const flag of flags) shape.setAttribute(`data-${flag}`, "");
      return shape;
    });
    this.svg.replaceChildren(...shapes, this.port);
  }
}

function put(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
