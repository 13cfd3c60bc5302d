// Home: the links that the SDK prints, and the lists kept fresh.
import { refresh } from "./times.js";
import { showActive, watchRuns } from "./runs-live.js";

// `/#/runs/details/<id>` and its like are Kubeflow's addresses; ours say the same without the hash.
const ADDRESSES = [
  [/^#\/runs\/details\/([\w-]+)/, (found) => `/runs/${found[1]}/`],
  [/^#\/experiments\/details\/([\w-]+)/, (found) => `/experiments/${found[1]}/`],
  [/^#\/pipelines\/details\/([\w-]+)\/version\/([\w-]+)/, (found) => `/pipelines/${found[1]}/versions/${found[2]}/`],
  [/^#\/pipelines\/details\/([\w-]+)/, (found) => `/pipelines/${found[1]}/`],
  [/^#\/(runs|experiments|pipelines)\b/, (found) => `/${found[1]}/`],
];

function redirect() {
  for (const [pattern, address] of ADDRESSES) {
    const found = pattern.exec(location.hash);
    if (found) return location.replace(address(found));
  }
}

async function reload() {
  const old = document.getElementById("home");
  if (!old || old.contains(document.activeElement)) return; // nothing moves under the keyboard
  const answer = await fetch(location.pathname);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html"), fresh = page.getElementById("home");
  if (!fresh) return location.reload();
  showActive(page.querySelector("#active-runs span").textContent);
  old.replaceWith(fresh);
  refresh(fresh);
}

redirect();
addEventListener("hashchange", redirect);
if (document.getElementById("home")) {
  let timer = null;
  const soon = () => (timer ??= setTimeout(() => ((timer = null), reload()), 1500));
  watchRuns(soon, soon);
}
