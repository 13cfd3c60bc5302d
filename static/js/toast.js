// Results, bottom right, one at a time, for six seconds. Text is inserted as text.
const SHOWN = 6000;

function arm(toast) {
  const leave = () => toast.remove();
  let timer = setTimeout(leave, SHOWN);
  toast.addEventListener("pointerenter", () => clearTimeout(timer));
  toast.addEventListener("pointerleave", () => (timer = setTimeout(leave, SHOWN / 2)));
  toast.querySelector("[data-dismiss]")?.addEventListener("click", leave);
}

function icon(mark, state) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "si");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.dataset.state = state;
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  svg.firstChild.setAttribute("href", mark);
  return svg;
}

// `undo` is a function, offered as a button.
export function toast(text, { failed = false, undo = null } = {}) {
  const box = document.getElementById("toasts");
  const element = document.createElement("div");
  element.className = "toast";
  const words = document.createElement("span");
  words.textContent = text;
  element.append(icon(failed ? "#st-FAILED" : "#st-SUCCEEDED", failed ? "FAILED" : "SUCCEEDED"), words);
  if (undo) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn plain s act";
    button.textContent = "Undo";
    button.addEventListener("click", () => (element.remove(), undo()));
    element.append(button);
  }
  box.replaceChildren(element);
  arm(element);
}

export function startToasts() {
  document.querySelectorAll("[data-toast]").forEach(arm);
  // Answers to htmx say their result in HX-Trigger: {"toast": {"text": …}}.
  document.addEventListener("toast", (event) => toast(event.detail.text, event.detail));
  // A request that did not get through must not end in silence.
  document.addEventListener("htmx:sendError", () => toast("The server did not answer. Nothing was changed.", { failed: true }));
  document.addEventListener("htmx:responseError", (event) => {
    const text = event.detail.xhr.getResponseHeader("Content-Type")?.startsWith("text/plain") && event.detail.xhr.responseText.trim();
    toast(text || `The server could not do that (${event.detail.xhr.status}).`, { failed: true });
  });
}
