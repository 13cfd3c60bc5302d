// Search and levels of a log. The server searches: what is sought may lie in lines that the page does not have.

export class LogSearch {
  constructor(view) {
    Object.assign(this, { view, root: view.root, needle: "", hits: [], at: -1, more: false });
    const field = this.root.querySelector("[data-log-search]");
    let typed;
    field.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(() => this.seek(field.value), 200); });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); this.next(event.shiftKey ? -1 : 1); }
      else if (event.key === "Escape" && field.value) { event.stopPropagation(); field.value = ""; this.seek(""); }
    });
    this.root.querySelector("[data-log-next]").addEventListener("click", () => this.next(1));
    for (const button of this.root.querySelectorAll("[data-level]")) button.addEventListener("click", () => this.setLevel(button.dataset.level));
  }

  finds(text) {
    return Boolean(this.needle) && text.toLowerCase().includes(this.needle.toLowerCase());
  }

  async seek(text) {
    const needle = text.trim();
    Object.assign(this, { needle, hits: [], at: -1, more: false });
    if (needle) {
      const answer = await this.view.get(this.root.dataset.searchUrl, { q: needle });
      if (!answer || needle !== this.needle) return;
      this.hits = answer.found.map(([number]) => number);
      this.more = answer.more;
    }
    for (const block of this.view.box.querySelectorAll("[data-filled]")) this.view.fill(block);
    if (this.view.level) this.setLevel(this.view.level);
    else if (this.hits.length) this.next(1);
    this.#show();
  }

  next(step) {
    if (!this.hits.length) return;
    this.at = (this.at + step + this.hits.length) % this.hits.length;
    this.#show();
    this.view.show(this.hits[this.at]).then(() => this.current());
  }

  /** Frames the match that was gone to, in whatever lines are there now. */
  current() {
    for (const mark of this.view.box.querySelectorAll("mark.cur")) mark.classList.remove("cur");
    if (this.at >= 0) this.view.box.querySelector(`[data-number="${this.hits[this.at]}"] mark`)?.classList.add("cur");
  }

  /** Shows only lines of a level or a worse one; an empty level shows all. */
  async setLevel(level) {
    const { view } = this;
    view.level = level;
    for (const button of this.root.querySelectorAll("[data-level]")) button.setAttribute("aria-pressed", String(button.dataset.level === level));
    view.box.replaceChildren();
    if (!level) return void view.grow(0);
    view.following = false;
    view.showFollow();
    const answer = await view.get(this.root.dataset.searchUrl, { q: this.needle, level });
    if (!answer || view.level !== level) return;
    view.box.replaceChildren(...answer.found.map((line) => view.element(line)));
    if (!answer.more && answer.found.length) return;
    const note = document.createElement("p");
    note.className = "log-none";
    note.textContent = answer.more ? "These are the first 500. Search to narrow them down." : "No line has this level.";
    view.box.append(note);
  }

  /** A line that was printed just now counts at its level's button. */
  count([, , , level]) {
    const number = this.root.querySelector(`[data-level="${level}"] span`);
    if (number && level) number.textContent = String(Number(number.textContent) + 1);
  }

  #show() {
    const count = `${this.hits.length.toLocaleString("en")}${this.more ? "+" : ""}`;
    this.root.querySelector("[data-log-hits]").textContent = !this.needle ? "" : !this.hits.length ? "none" : `${this.at + 1} of ${count}`;
  }
}
