// How a log looks: wrapped lines and the column of times, kept for this browser.
import { duration } from "./times.js";

const STORE = "kfdash.log";
const TIMES = ["clock", "since", "off"];
const TIME_WORDS = { clock: "clock", since: "since the start", off: "off" };

export class LogLooks {
  /** `again` writes the lines anew, after the column of times changed. */
  constructor(root, box, again) {
    Object.assign(this, { root, box, again });
    this.prefer = { wrap: false, time: "clock", ...JSON.parse(localStorage.getItem(STORE) ?? "{}") };
    root.querySelector("[data-log-wrap]").addEventListener("click", () => this.#change({ wrap: !this.prefer.wrap }));
    root.querySelector("[data-log-time]").addEventListener("click", () => this.#change({ time: TIMES[(TIMES.indexOf(this.prefer.time) + 1) % TIMES.length] }));
    this.#show();
  }

  /** What stands in the column of times for a moment in µs. */
  time(micros) {
    if (this.prefer.time === "since") return duration(Math.max(0, (micros - Number(this.root.dataset.begin)) / 1e6));
    return new Date(micros / 1000).toLocaleTimeString("en-GB");
  }

  #change(change) {
    Object.assign(this.prefer, change);
    localStorage.setItem(STORE, JSON.stringify(this.prefer));
    this.#show();
    if ("time" in change) this.again();
  }

  #show() {
    this.box.classList.toggle("wrap", this.prefer.wrap);
    this.box.classList.toggle("notime", this.prefer.time === "off");
    this.root.querySelector("[data-log-wrap]").setAttribute("aria-pressed", String(this.prefer.wrap));
    const time = this.root.querySelector("[data-log-time]");
    time.setAttribute("aria-pressed", String(this.prefer.time !== "off"));
    time.title = `Time: ${TIME_WORDS[this.prefer.time]}`;
  }
}
