// Keeps relative times and running clocks fresh, in the reader's zone. The words are those of kfdash/words.py.
const MINUTE = 60, HOUR = 3600, DAY = 86400;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

export function duration(seconds) {
  if (seconds < .095) return `${Math.round(Math.max(seconds, 0) * 1000)} ms`;
  if (seconds < 9.95) return `${Math.max(seconds, 0).toFixed(1)} s`;
  const whole = Math.round(seconds), two = (number) => String(number).padStart(2, "0");
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} m ${two(whole % MINUTE)} s`;
  if (whole < DAY) return `${Math.floor(whole / HOUR)} h ${two(Math.floor((whole % HOUR) / MINUTE))} m`;
  return `${Math.floor(whole / DAY)} d ${Math.floor((whole % DAY) / HOUR)} h`;
}

/** A duration that still grows: whole seconds. */
export function clock(seconds) {
  return seconds < 10 ? `${Math.floor(Math.max(seconds, 0))} s` : duration(seconds);
}

export function ago(at, now = new Date()) {
  const seconds = (now - at) / 1000;
  if (seconds < -5) return `in ${rough(-seconds)}`;
  if (seconds < 5) return "just now";
  if (seconds < DAY) return `${rough(seconds)} ago`;
  const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());
  const days = Math.round((midnight(now) - midnight(at)) / (DAY * 1000));
  if (days <= 1) return "yesterday";
  return days <= 30 ? `${days} days ago` : `${at.getDate()} ${MONTHS[at.getMonth()]} ${at.getFullYear()}`;
}

function rough(seconds) {
  if (seconds < MINUTE) return `${Math.round(seconds)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h`;
  return seconds >= 2 * DAY ? `${Math.floor(seconds / DAY)} days` : "1 day";
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function refresh(root = document) {
  const now = new Date();
  for (const element of root.querySelectorAll("time[data-when]")) {
    const at = new Date(element.dateTime);
    write(element, ago(at, now));
    if (!element.dataset.zoned) {
      element.dataset.zoned = "yes";
      element.title = full.format(at);
    }
  }
  for (const element of root.querySelectorAll("time[data-clock]:not([data-zoned])")) {
    const at = new Date(element.dateTime);
    write(element, at.toLocaleTimeString(undefined, { hour12: false }));
    element.dataset.zoned = "yes";
    element.title = `${element.dataset.clock ?? ""} ${full.format(at)}`.trim();
  }
  for (const element of root.querySelectorAll("[data-since]")) {
    const seconds = (now - new Date(element.dataset.since)) / 1000;
    write(element, clock(seconds));
  }
}

export function startTimes() {
  refresh();
  setInterval(() => document.hidden || refresh(), 1000);
  document.addEventListener("htmx:afterSettle", () => refresh());
}
