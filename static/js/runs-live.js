// The socket that says which runs changed, and the live mark beside the title.
const LATE = 3000, OFF = 60000, BURST = 400;

function mark(state, text) {
  const element = document.getElementById("live");
  if (!element) return;
  element.hidden = false;
  element.dataset.live = state;
  element.querySelector("[data-live-text]").textContent = text;
  element.querySelector("[data-live-again]").hidden = state !== "off";
}

// The count in the navigation.
export function showActive(count) {
  const element = document.getElementById("active-runs");
  element.hidden = !Number(count);
  element.querySelector("span").textContent = count;
}

// `changed(ids)` is called at most every 400 ms; `again()` after a connection that was lost, when anything may have changed.
export function watchRuns(changed, again) {
  const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/runs/`;
  const pending = new Set();
  let socket, timer = null, wait = 500, lostAt = null, heard = false;

  const flush = () => {
    timer = null;
    const ids = [...pending];
    pending.clear();
    changed(ids);
  };
  const connect = () => {
    socket = new WebSocket(address);
    socket.onopen = () => {
      wait = 500;
      mark("live", "live");
      if (heard) again();
      heard = true;
      lostAt = null;
    };
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type !== "runs.changed") return;
      message.runs.forEach((id) => pending.add(id));
      timer ??= setTimeout(flush, BURST);
    };
    socket.onclose = () => {
      lostAt ??= Date.now();
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, 10000);
    };
  };
  setInterval(() => {
    if (lostAt === null) return;
    const lost = Date.now() - lostAt;
    if (lost > OFF) mark("off", "not live");
    else if (lost > LATE) mark("late", `reconnecting, data from ${Math.round(lost / 1000)} s ago`);
  }, 1000);
  document.querySelector("[data-live-again]")?.addEventListener("click", () => location.reload());
  addEventListener("pagehide", () => socket?.close());
  connect();
}
