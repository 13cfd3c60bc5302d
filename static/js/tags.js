// Tags that were saved: says so, with the way back.
import { toast } from "./toast.js";

export function startTags() {
  document.addEventListener("tags:saved", (event) => {
    const { text, address, before } = event.detail;
    toast(text, { undo: () => htmx.ajax("POST", address, { target: "#dialog", values: { tags: before } }) });
  });
  // Ctrl and Enter save, as everywhere.
  document.addEventListener("keydown", (event) => {
    if (event.target.id === "tags-text" && event.key === "Enter" && (event.metaKey || event.ctrlKey)) event.target.form.requestSubmit();
  });
}
