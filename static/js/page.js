// What every page does: theme, keyboard, times, toasts, dialogs, copying, uploads.
import { startKeys } from "./keys.js";
import { startTimes } from "./times.js";
import { startToasts } from "./toast.js";
import { startDialogs } from "./dialogs.js";
import { startUploads } from "./upload.js";
import { startJump } from "./jump.js";
import { startTags } from "./tags.js";

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("kfdash.theme", root.dataset.theme);
}

// Asking for the tick inside keeps the button's own icon for afterwards.
async function copy(button) {
  const use = button.querySelector("use");
  await navigator.clipboard.writeText(button.dataset.copy);
  const before = use.getAttribute("href");
  if (before === "#i-check") return;
  use.setAttribute("href", "#i-check");
  setTimeout(() => use.setAttribute("href", before), 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-toggle], [data-copy]");
  if (!button) return;
  if (button.matches("[data-copy]")) copy(button);
  else toggleTheme();
});

startTimes();
startKeys();
startToasts();
startDialogs();
startUploads();
startJump();
startTags();
