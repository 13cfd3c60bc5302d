// Jump: Ctrl K (or Command K) opens it, arrows choose, Enter goes.
export function startJump() {
  const dialog = document.getElementById("jump"), input = dialog.querySelector("input"), list = dialog.querySelector("#goals");
  const goals = () => [...list.querySelectorAll(".goal")];

  const choose = (goal) => {
    for (const one of goals()) one.setAttribute("aria-selected", String(one === goal));
    if (goal) input.setAttribute("aria-activedescendant", goal.id);
    goal?.scrollIntoView({ block: "nearest" });
  };
  const open = () => {
    if (dialog.open) return dialog.close();
    dialog.showModal();
    input.select();
    htmx.trigger(input, "jump"); // the newest of everything, before a letter is typed
  };

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    open();
  });
  document.addEventListener("click", (event) => event.target.closest("[data-jump]") && open());
  list.addEventListener("htmx:afterSwap", () => choose(goals()[0]));
  input.addEventListener("keydown", (event) => {
    const all = goals(), at = all.findIndex((goal) => goal.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(all[(at + (event.key === "ArrowDown" ? 1 : -1) + all.length) % all.length]);
    } else if (event.key === "Enter") {
      event.preventDefault();
      all[at]?.click();
    }
  });
}
