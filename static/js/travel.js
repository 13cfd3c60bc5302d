// Time travel: moves the slider over a run's events, plays them, and asks for the page as it was. The moment is `at` in the address.
import { onKey } from "./keys.js";

const PLAY_EVERY = 700, PLAYED_IN = 40; // ms between two moments; moments that a whole run is played in at most

export class Travel {
  constructor(parts) {
    this.parts = parts;
    this.busy = false;
    this.wanted = null;
    document.addEventListener("input", (event) => {
      if (!event.target.matches("#travel input[type=range]")) return;
      this.stop();
      this.#position(event.target.value);
      this.go(Number(event.target.value));
    });
    document.addEventListener("submit", (event) => { if (event.target.matches("[data-travel]")) event.preventDefault(); });
    document.addEventListener("click", (event) => {
      if (event.target.closest("[data-play]")) this.playing ? this.stop() : this.play();
      else if (event.target.closest('[data-go="moment"]')) this.stop();
    });
    onKey(",", () => this.step(-1));
    onKey(".", () => this.step(1));
    onKey("ArrowLeft", (event) => this.#arrow(event, -1));
    onKey("ArrowRight", (event) => this.#arrow(event, 1));
    addEventListener("pagehide", () => this.stop());
  }

  get bar() { return document.querySelector("[data-travel]"); }

  /** The number of the event that is looked at or on its way, and how many there are; null while it is now. */
  get spot() {
    if (!this.bar) return null;
    return { at: this.wanted ?? this.coming ?? Number(this.bar.dataset.travel), of: Number(this.bar.dataset.of) };
  }

  step(by) {
    const spot = this.spot;
    if (spot) this.stop();
    if (!spot) {
      const enter = document.querySelector(".travelbtn");
      if (by < 0) enter?.click();
      return;
    }
    const to = Math.min(Math.max(spot.at + by, 1), spot.of);
    if (to !== spot.at) this.go(to);
  }

  /** Goes to a moment; what is asked for while one is fetched waits, and the last wins. */
  async go(number) {
    this.wanted = number;
    if (this.busy) return;
    this.busy = true;
    while (this.wanted !== null) {
      this.coming = this.wanted;
      this.wanted = null;
      const url = new URL(location.href);
      url.searchParams.set("at", this.coming);
      history.replaceState(null, "", url);
      this.#position(this.coming);
      await this.parts.moment();
    }
    this.coming = undefined;
    this.busy = false;
  }

  play() {
    const spot = this.spot;
    if (!spot) return;
    const stride = Math.max(1, Math.ceil(spot.of / PLAYED_IN));
    if (spot.at >= spot.of) this.go(1);
    this.playing = setInterval(() => {
      const { at, of } = this.spot ?? { at: 0, of: 0 };
      if (at >= of) return this.stop();
      return this.busy || this.go(Math.min(at + stride, of));
    }, PLAY_EVERY);
    this.show();
  }

  stop() {
    clearInterval(this.playing);
    this.playing = null;
    this.show();
  }

  /** The button says whether it plays. */
  show() {
    const button = this.bar?.querySelector("[data-play]");
    if (!button) return;
    button.setAttribute("aria-pressed", String(Boolean(this.playing)));
    button.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    button.title = this.playing ? "Pause" : "Play";
    button.querySelector("use").setAttribute("href", this.playing ? "#i-pause" : "#i-play");
  }

  #arrow(event, by) {
    if (!event.shiftKey) return;
    event.preventDefault();
    this.step(by);
  }

  #position(number) {
    const place = this.bar?.querySelector("[data-position]"), slider = this.bar?.querySelector("input[type=range]");
    if (place) place.textContent = `${number} of ${this.bar.dataset.of}`;
    if (slider && slider.value !== String(number)) slider.value = number;
  }
}

/** Puts a fetched bar in place of the one there is; the slider stays the same element, so that a drag goes on. */
export function replaceBar(box, html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  const old = box.querySelector("[data-travel]"), next = made.content.querySelector("[data-travel]");
  if (!old || !next) return box.replaceChildren(made.content);
  const focused = document.activeElement?.closest("#travel a, #travel button")?.getAttribute("aria-label");
  Object.assign(old.dataset, next.dataset);
  const slider = old.querySelector("input[type=range]"), other = next.querySelector("input[type=range]");
  for (const name of ["max", "aria-valuetext"]) slider.setAttribute(name, other.getAttribute(name));
  if (!slider.matches(":active")) slider.value = other.value;
  old.querySelector(".ticks-failed").innerHTML = next.querySelector(".ticks-failed").innerHTML;
  for (const part of [".row", ".told", "[data-position]", "[data-now]"]) old.querySelector(part).replaceWith(next.querySelector(part));
  if (focused) old.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  return undefined;
}
