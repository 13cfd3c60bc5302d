// The graph: pan, zoom, fit, selection, and what of a large one is drawn.

import { movable, walkable } from "./graph-input.js";
import { fill, isBare } from "./graph-inside.js";
import { Minimap } from "./graph-minimap.js";
import { Texts } from "./graph-text.js";

const LEAST = .1, MOST = 2;

/** A drawing on the page. `view` is what is seen: x, y of the upper left corner in points and the scale k. `filled` is called with boxes that were filled. */
export class Graph {
  constructor(canvas) {
    this.canvas = canvas;
    this.svg = canvas.querySelector("svg.graph");
    this.width = Number(this.svg.dataset.width);
    this.height = Number(this.svg.dataset.height);
    this.margin = Number(this.svg.dataset.margin);
    this.view = { x: 0, y: 0, k: 1 };
    this.percent = canvas.querySelector(".pc");
    this.nodes = [...this.svg.querySelectorAll(".node:not(.group)")];
    this.byPath = new Map([...this.svg.querySelectorAll(".node")].map((node) => [node.dataset.path, node]));
    this.texts = new Texts([...this.byPath.values()]);
    this.minimap = new Minimap(this, canvas.querySelector("[data-minimap]"));
    this.boxes = new Map();
    this.shown = new Set(); // nodes of a large graph that are in sight
    this.drawn = new Set(); // and those that ever were: they have their text, their lines have arrows
    this.many = this.svg.classList.contains("many");
    const { width, height } = canvas.getBoundingClientRect();
    this.size = { width, height }; // kept: asking for it in between would lay the page out each time
    this.#edges();
    movable(this);
    walkable(this);
    if (this.many) this.svg.addEventListener("focusin", (event) => this.#fill([event.target]));
    for (const button of canvas.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => (button.dataset.zoom === "fit" ? this.fit() : this.zoom(button.dataset.zoom === "in" ? 1.25 : .8)));
    }
    this.resized = new ResizeObserver(() => this.#resize());
    this.resized.observe(canvas);
    this.#tabStop();
  }

  node(path) { return this.byPath.get(path) ?? null; }

  /** First sight: all of it, at most 100 %; where that is too small to read, 90 % at what matters most. */
  show() {
    const first = this.#scale() < .82 && (this.svg.querySelector('.node[aria-current="true"]') ?? this.svg.querySelector('.node[data-state="FAILED"]')
      ?? this.svg.querySelector('.node[data-state="RUNNING"]') ?? this.nodes[0]);
    if (first) this.at(first, .9); else this.fit();
  }

  // The scale at which all of it is seen, at most 1.
  #scale() {
    const { width, height } = this.size;
    return Math.max(LEAST / 4, Math.min(1, width / (this.width + 2 * this.margin), height / (this.height + 2 * this.margin)));
  }

  fit() {
    const { width, height } = this.size;
    if (!width || !height) return;
    const h = this.height + 2 * this.margin, k = this.#scale();
    this.look(this.width / 2 - width / k / 2, h * k < height ? -this.margin - Math.min((height / k - h) / 2, 24) : -this.margin, k);
  }

  /** Brings a node to the middle at scale k, without showing emptiness beside the drawing. */
  at(node, k = this.view.k) {
    const box = this.box(node), { width, height } = this.size;
    const w = width / k, h = height / k;
    const clamp = (value, least, most) => (least > most ? (least + most) / 2 : Math.max(least, Math.min(most, value)));
    const x = clamp(box.x + box.width / 2 - w / 2, -this.margin, this.width + this.margin - w);
    const y = clamp(box.y + box.height / 2 - h / 2, -this.margin, this.height + this.margin - h);
    this.look(x, y, k);
  }

  /** Moves only as far as is needed to see a node. */
  reveal(node) {
    const box = this.box(node), { width, height } = this.size, { x, y, k } = this.view, pad = 16;
    const shift = (from, size, start, length) => (from < start + pad ? from - start - pad : Math.max(0, from + size - start - length + pad));
    this.look(x + shift(box.x, box.width, x, width / k), y + shift(box.y, box.height, y, height / k), k);
  }

  zoom(factor, point) {
    const { x, y, k } = this.view, next = Math.max(LEAST, Math.min(MOST, k * factor));
    const { width, height } = this.size;
    const [px, py] = point ?? [width / 2, height / 2];
    this.look(x + px / k - px / next, y + py / k - py / next, next);
  }

  /** Where a node is on the screen, in pixels of the canvas; `hold` puts a node of another drawing there. */
  spot(path) {
    const node = this.node(path);
    if (!node) return null;
    const box = this.box(node), { x, y, k } = this.view;
    return { path, left: (box.x - x) * k, top: (box.y - y) * k, k };
  }

  hold(spot) {
    const node = spot && this.node(spot.path);
    if (!node) return false;
    const box = this.box(node);
    this.look(box.x - spot.left / spot.k, box.y - spot.top / spot.k, spot.k);
    return true;
  }

  select(path) {
    for (const node of this.svg.querySelectorAll('[aria-current="true"]')) node.removeAttribute("aria-current");
    let at = path;
    while (at && !this.node(at)) at = at.endsWith("]") ? at.slice(0, at.lastIndexOf("[")) : at.slice(0, Math.max(0, at.lastIndexOf("/")));
    const node = at && at !== "root" ? this.node(at) : null;
    if (node) this.#fill([node]);
    node?.setAttribute("aria-current", "true");
    this.#tabStop();
    return node;
  }

  /** Dims what does not match; returns how many do. */
  filter(matches) {
    let count = 0;
    for (const node of this.nodes) {
      const fits = !matches || matches(node);
      node.classList.toggle("dimmed", !fits);
      count += fits;
    }
    for (const pill of this.svg.querySelectorAll(".art")) pill.classList.toggle("dimmed", Boolean(matches));
    return count;
  }

  /** The edges at a node take the look of their ends; in a large graph, those that were never in sight have no arrows. */
  edges(id) {
    for (const edge of this.edgesAt.get(id) ?? []) {
      const ends = [edge.dataset.tail, edge.dataset.head].map((end) => document.getElementById(end)), [tail, head] = ends.map((node) => node?.dataset.state);
      const how = head === "RUNNING" ? "on" : tail === "SKIPPED" || head === "SKIPPED" ? "off" : edge.hasAttribute("data-exit") ? "exit" : "";
      set(edge, "class", `edge ${how}`);
      if (!this.many || ends.some((node) => this.drawn.has(node))) set(edge, "marker-end", how === "on" ? "url(#arr-on)" : "url(#arr)");
    }
  }

  /** After a node's state changed: its edges and its mark in the minimap. */
  changed(node) {
    this.edges(node.id);
    this.minimap.later();
    this.texts.later(node);
  }

  #edges() {
    this.edgesAt = new Map();
    for (const edge of this.svg.querySelectorAll(".edge")) {
      for (const end of [edge.dataset.tail, edge.dataset.head]) {
        if (!this.edgesAt.has(end)) this.edgesAt.set(end, []);
        this.edgesAt.get(end).push(edge);
      }
    }
  }

  box(node) {
    if (!this.boxes.has(node)) {
      const [x, y] = node.getAttribute("transform").match(/-?[\d.]+/g).map(Number), body = node.querySelector(".box, .pill, .grab");
      this.boxes.set(node, { x, y, width: Number(body.getAttribute("width")), height: Number(body.getAttribute("height")) });
    }
    return this.boxes.get(node);
  }

  look(x, y, k) {
    this.view = { x, y, k };
    const { width, height } = this.size;
    this.svg.setAttribute("viewBox", `${x} ${y} ${width / k} ${height / k}`);
    this.svg.classList.toggle("far", k < .6);
    this.svg.classList.toggle("farther", k < .35);
    if (this.percent) this.percent.textContent = `${Math.round(k * 100)}%`;
    if (k >= .6 && this.texts.waiting.size) this.texts.fit();
    if (this.many) this.#inSight();
    this.minimap.show();
  }

  // Of a large graph, only nodes in sight and near it have text and icon, and none has where boxes are all one sees.
  #inSight() {
    const { x, y, k } = this.view, w = this.size.width / k, h = this.size.height / k, seen = new Set();
    const near = k < .6 ? .05 : .3; // the smaller they are, the more of them there are
    if (k >= .35) {
      for (const node of this.byPath.values()) {
        const box = this.box(node);
        if (box.x < x + w * (1 + near) && box.x + box.width > x - w * near && box.y < y + h * (1 + near) && box.y + box.height > y - h * near) seen.add(node);
      }
    }
    this.#fill(seen);
    for (const node of this.shown) if (!seen.has(node)) node.classList.remove("in");
    for (const node of seen) if (!this.shown.has(node)) node.classList.add("in");
    this.shown = seen;
  }

  #fill(nodes) {
    const fresh = [...nodes].filter((node) => this.many && node.id && !this.drawn.has(node)), bare = fresh.filter(isBare);
    for (const node of fresh) { this.drawn.add(node); this.edges(node.id); }
    if (!bare.length) return;
    fill(bare);
    this.filled?.(bare);
  }

  #resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    this.size = { width, height };
    if (!width || !height) return;
    if (!this.seen) {
      this.seen = true;
      if (!this.held || !this.hold(this.held)) this.show();
    } else if (width !== this.was?.width || height !== this.was?.height) this.look(this.view.x, this.view.y, this.view.k);
    this.was = { width, height };
  }

  // Where reading begins: the uppermost node, the leftmost of those.
  #first() {
    return this.nodes.reduce((best, node) => {
      const one = this.box(node), other = best && this.box(best);
      return !other || one.y < other.y - 4 || (Math.abs(one.y - other.y) <= 4 && one.x < other.x) ? node : best;
    }, null);
  }

  #tabStop() {
    for (const node of this.svg.querySelectorAll('[tabindex="0"]')) node.setAttribute("tabindex", "-1");
    (this.svg.querySelector('.node[aria-current="true"]') ?? this.#first())?.setAttribute("tabindex", "0");
  }
}

// Of many edges few change: writing what is there already would draw them anew.
function set(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
