// The lines that the address names (#L12, #L12-L20): a click on a number chooses one, with Shift a range.

export class LogChoice {
  constructor(root, box) {
    Object.assign(this, { root, box });
    const found = /^#L(\d+)(?:-L(\d+))?$/.exec(location.hash);
    this.lines = found && Number(found[1]) ? [Number(found[1]), Number(found[2] ?? found[1])] : null;
    this.button = root.querySelector("[data-log-link]");
    this.button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(location.href);
      this.#offer("Copied");
      setTimeout(() => this.#offer(), 1500);
    });
    this.#offer();
  }

  get first() {
    return this.lines?.[0] ?? 0;
  }

  has(number) {
    return Boolean(this.lines) && number >= this.lines[0] && number <= this.lines[1];
  }

  take(number, further) {
    const from = further && this.lines ? this.lines[0] : number;
    this.lines = [Math.min(from, number), Math.max(from, number)];
    const url = new URL(location.href);
    url.hash = from === number ? `L${number}` : `L${this.lines[0]}-L${this.lines[1]}`;
    history.replaceState(null, "", url);
    for (const row of this.box.querySelectorAll(".ln")) row.classList.toggle("at", this.has(Number(row.dataset.number)));
    this.#offer();
  }

  #offer(said = "") {
    this.button.hidden = !this.lines;
    if (!this.lines) return;
    const [first, last] = this.lines.map((number) => number.toLocaleString("en"));
    this.button.querySelector("span").textContent = said || `Copy link to ${first === last ? `line ${first}` : `lines ${first} to ${last}`}`;
  }
}
