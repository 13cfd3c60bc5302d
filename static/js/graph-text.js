// Text in boxes: cut where the box ends, whatever font the reader has, and the type gives way to the second line.

const LEFT = 36, HEAD = 51, END = 11, GAP = 8, LEAST = 24; // points: where text begins in a box and in a head, what is free at its end, between two texts; less is no text
const MOST = 300; // nodes; a larger drawing is not measured

// What each text of a node may measure; all is measured before anything is written, so that the page is laid out once.
function measured(node) {
  if (node.classList.contains("group")) return measuredHead(node);
  const width = Number(node.querySelector(".box")?.getAttribute("width"));
  if (!width) return null;
  const name = node.querySelector(".nm"), line = node.querySelector(".sub"), type = node.querySelector(".ty:not(.times)"), times = node.querySelector(".times");
  const taken = times ? 34 + times.getComputedTextLength() + GAP : node.querySelector(".fold") ? 34 : END;
  if (name && name.textContent !== node.dataset.name) name.textContent = node.dataset.name;
  return { name, line, type, forName: width - LEFT - taken, forLine: width - LEFT - END };
}

// The head of an open group is one text: its name, the expression, then what is said of it in what is left.
function measuredHead(node) {
  const width = Number(node.querySelector(".grab")?.getAttribute("width")), line = node.querySelector(".sub");
  if (!width || !line) return null;
  const before = [...node.querySelectorAll(".gn, .expr")].reduce((sum, part) => sum + part.getComputedTextLength() + GAP, 0);
  return { name: null, line, type: null, forName: 0, forLine: width - HEAD - before - END };
}

function cut(text, room) {
  const length = text.getComputedTextLength(), whole = text.textContent;
  if (length > room && room < LEAST) return "";
  return length > room ? `${whole.slice(0, Math.max(1, Math.floor(whole.length * (room - 9) / length))).trimEnd()}…` : whole;
}

export class Texts {
  constructor(nodes) {
    this.waiting = new Set(nodes.length > MOST ? [] : nodes);
    this.measures = nodes.length <= MOST;
  }

  /** A node's texts changed: they are fitted before the next frame. */
  later(node) {
    if (!this.measures) return;
    this.waiting.add(node);
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.fit(); });
  }

  /** Fits what waits. Where text is too small to be shown it has no length: it waits on. */
  fit() {
    const all = [...this.waiting].map((node) => [node, measured(node)]).filter(([, found]) => found);
    const texts = all.map(([node, { name, line, type, forName, forLine }]) => ({
      node, name, line, type,
      shown: !line || !line.textContent || line.getComputedTextLength() > 0,
      title: name && cut(name, forName),
      second: line && cut(line, forLine),
      crowded: Boolean(type && line) && line.getComputedTextLength() + type.getComputedTextLength() + GAP > forLine,
    }));
    for (const { node, name, line, type, shown, title, second, crowded } of texts) {
      if (name && name.textContent !== title) name.textContent = title;
      if (line && line.textContent !== second) line.textContent = second;
      type?.classList.toggle("gone", crowded);
      if (shown) this.waiting.delete(node);
    }
  }
}
