// The panel's width, and on small screens its height: drawn by pointer, moved by keys, kept for the next page.
const STORE = "kfdash.panel", LEAST = 320;

export function grip(split) {
  const kept = JSON.parse(localStorage.getItem(STORE) ?? "{}");
  const set = (name, width) => {
    const most = Math.max(LEAST, innerWidth * .7);
    const fitting = Math.round(Math.max(LEAST, Math.min(most, width)));
    split.style.setProperty(name, `${fitting}px`);
    kept[name] = fitting;
  };
  for (const [name, width] of Object.entries(kept)) set(name, width);
  const which = () => (split.classList.contains("wide") ? "--panel-wide" : "--panel");
  const keep = () => localStorage.setItem(STORE, JSON.stringify(kept));
  split.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest("[data-grip]");
    if (!grip) return;
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
    const move = (at) => set(which(), split.getBoundingClientRect().right - at.clientX);
    const done = () => { grip.removeEventListener("pointermove", move); keep(); };
    grip.addEventListener("pointermove", move);
    grip.addEventListener("lostpointercapture", done, { once: true });
  });
  split.addEventListener("keydown", (event) => {
    if (!event.target.matches("[data-grip]") || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    set(which(), document.getElementById("panel").getBoundingClientRect().width + (event.key === "ArrowLeft" ? 24 : -24));
    keep();
  });
  split.addEventListener("click", (event) => { if (event.target.closest("[data-full]")) split.classList.toggle("full"); });
}

/** On a small screen the panel is a sheet: its head draws it up and down. */
export function sheet(split) {
  split.addEventListener("pointerdown", (event) => {
    const head = event.target.closest("#panel > header");
    if (!head || !matchMedia("(max-width: 760px)").matches || event.target.closest("a, button, summary, .mk")) return;
    const from = event.clientY;
    head.setPointerCapture(event.pointerId);
    head.addEventListener("pointerup", (end) => {
      const moved = from - end.clientY;
      split.classList.toggle("up", Math.abs(moved) < 8 ? !split.classList.contains("up") : moved > 0);
    }, { once: true });
  });
}
