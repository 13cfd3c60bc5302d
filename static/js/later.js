// What may take its time is fetched once the page is there: an element with `data-later` gets what is at that address.
// What was there the last time stands until the answer comes, so that a part that is put in anew does not blink.
import { refresh } from "./times.js";

const known = new Map(), MOST = 40;

export function fetchLater(within) {
  for (const box of within.querySelectorAll("[data-later]")) fill(box);
}

async function fill(box) {
  const address = box.dataset.later;
  if (known.has(address)) box.innerHTML = known.get(address);
  try {
    const answer = await fetch(address, { headers: { "X-Requested-With": "fetch" } });
    if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
    const html = await answer.text(); // our own server's markup, escaped there
    known.delete(address);
    known.set(address, html);
    if (known.size > MOST) known.delete(known.keys().next().value);
    if (box.isConnected) {
      box.innerHTML = html;
      refresh(box);
    }
  } catch {
    if (box.isConnected && !known.has(address)) box.textContent = "";
  }
}
