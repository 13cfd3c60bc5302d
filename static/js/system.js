// The page System says whether what it shows is fresh: the server may be what does not answer.
const mark = document.getElementById("stand-live");

function say(state, words) {
  mark.dataset.live = state;
  mark.lastElementChild.textContent = words;
}

document.body.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.target?.id !== "stand") return;
  if (event.detail.successful) say("on", "live");
  else say("late", `the server does not say; what is shown is older (${new Date().toLocaleTimeString()})`);
});
