// A pipeline version: a step's panel opens without leaving the page; versions are chosen from a select on small screens.
const panel = () => document.getElementById("panel");

function select(path) {
  for (const node of document.querySelectorAll(".graph .node[aria-current]")) node.removeAttribute("aria-current");
  const node = [...document.querySelectorAll(".graph .node")].find((one) => one.dataset.path === path);
  node?.setAttribute("aria-current", "true");
}

async function open(address, push) {
  const url = new URL(address, location.href);
  const answer = await fetch(url, { headers: { "HX-Request": "true", "HX-Target": "panel" } });
  if (!answer.ok) return location.assign(url);
  panel().innerHTML = await answer.text(); // our own server's markup, escaped there
  panel().classList.add("open");
  select(url.searchParams.get("task") ?? "");
  if (push) history.pushState({}, "", url);
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-close-panel]")) return panel().classList.remove("open");
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || !panel()) return;
  if (event.target.closest("[data-fold], [data-unfold]")) return;
  const link = event.target.closest(".graph a[href]");
  if (!link) return;
  event.preventDefault();
  open(link.getAttribute("href"), true);
});
addEventListener("popstate", () => panel() && open(location.href, false));
document.addEventListener("change", (event) => event.target.matches("[data-go]") && location.assign(event.target.value));

// A large graph is drawn by a job: ask until it is there.
async function awaitGraph() {
  const answer = await fetch(location.href);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (page.querySelector("[data-awaited]")) setTimeout(awaitGraph, 2000);
  else location.reload();
}

if (document.querySelector("[data-awaited]")) setTimeout(awaitGraph, 1500);
