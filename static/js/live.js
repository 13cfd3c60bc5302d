// A socket that comes back: with patience and jitter, saying how live the page is.
const FIRST_WAIT = 500, LONGEST_WAIT = 15000, LATE_AFTER = 3000, OFF_AFTER = 60000, PING_EVERY = 20000, ANSWER_WITHIN = 10000;

export class Live {
  /** `message(data)` for each message, `status("live" | "late" | "off", seconds without data)`, `open(send)` after each connection. */
  constructor(path, { message, status, open }) {
    this.address = new URL(path, location.href);
    this.address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    Object.assign(this, { message, status, open });
    this.tries = 0;
    this.heard = Date.now();
    this.lost = null;
    this.#connect();
    this.timer = setInterval(() => this.#look(), 1000);
    addEventListener("online", () => this.again());
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.socket?.readyState !== WebSocket.OPEN) this.again(); });
    addEventListener("pagehide", () => this.close());
    addEventListener("pageshow", (event) => { if (event.persisted) { this.closed = false; this.again(); } });
  }

  send(data) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(data));
  }

  again() {
    if (this.closed || this.socket?.readyState === WebSocket.OPEN) return;
    clearTimeout(this.waiting);
    this.tries = 0;
    this.#connect();
  }

  close() {
    this.closed = true;
    clearTimeout(this.waiting);
    this.socket?.close();
  }

  #connect() {
    clearTimeout(this.waiting);
    const before = this.socket;
    this.socket = null;
    before?.close();
    const socket = new WebSocket(this.address);
    this.socket = socket;
    socket.addEventListener("open", () => {
      if (socket !== this.socket) return;
      this.heard = Date.now();
      this.open?.((data) => this.send(data));
    });
    socket.addEventListener("message", (event) => {
      if (socket !== this.socket) return;
      this.heard = Date.now();
      this.asked = null;
      this.tries = 0;
      this.lost = null;
      this.status("live", 0);
      const data = JSON.parse(event.data);
      if (data.type === "gone") this.close();
      this.message(data);
    });
    socket.addEventListener("close", () => {
      if (socket !== this.socket || this.closed) return;
      this.lost ??= Date.now();
      const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.tries) * (.5 + Math.random() / 2);
      this.tries += 1;
      this.waiting = setTimeout(() => this.#connect(), wait);
    });
  }

  #look() {
    if (this.closed) return;
    const now = Date.now();
    if (this.socket?.readyState === WebSocket.OPEN) {
      if (this.asked && now - this.asked > ANSWER_WITHIN) {
        this.asked = null;
        this.lost ??= this.heard;
        this.#connect();
      } else if (!this.asked && now - this.heard > PING_EVERY) {
        this.asked = now;
        this.send({ type: "ping" });
      }
    }
    if (this.lost === null) return;
    const silent = now - this.lost;
    if (silent > OFF_AFTER) this.status("off", Math.round((now - this.heard) / 1000));
    else if (silent > LATE_AFTER) this.status("late", Math.round((now - this.heard) / 1000));
  }
}

const WORDS = { live: "live", off: "not live" };

/** Shows the state of a connection in the mark beside the title (`_live.html`). */
export function showLive(live, status, seconds) {
  const mark = document.getElementById("live");
  if (!mark) return;
  mark.hidden = false;
  mark.dataset.live = status;
  mark.querySelector("[data-live-text]").textContent = WORDS[status] ?? `reconnecting, data from ${seconds} s ago`;
  const again = mark.querySelector("[data-live-again]");
  again.hidden = status !== "off";
  again.onclick = () => live.again();
}
