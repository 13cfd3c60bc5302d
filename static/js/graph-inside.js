// What stands in the boxes of a large graph comes as comments, which cost a browser next to nothing: it is made for those in sight.

const comment = (node) => (node.lastChild?.nodeType === Node.COMMENT_NODE ? node.lastChild : null);

/** Whether a box has nothing in it yet. */
export const isBare = (node) => node.classList.contains("node") && Boolean(comment(node));

/** Fills boxes that are bare, all at once. The states in them are those the page came with. */
export function fill(nodes) {
  const holder = document.createElementNS("http://www.w3.org/2000/svg", "g");
  holder.innerHTML = nodes.map((node) => `<g>${comment(node).data}</g>`).join(""); // our own server's markup, escaped there
  for (const [index, inside] of [...holder.childNodes].entries()) {
    comment(nodes[index]).replaceWith(...inside.childNodes);
    nodes[index].removeAttribute("aria-label");
  }
}
