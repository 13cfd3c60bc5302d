// What a run's page knows, as a value: pure, it touches neither page nor network.
// State: { number, run, tasks: Map path → task }. A message follows another when its `previous` is not beyond our `number`.

const FIELDS = {
  kind: "container", state: "PENDING", attention: false, cached: false, reason: "", cause: "", attempt: 0, ready: null, started: null,
  finished: null, children: 0, ended: 0, succeeded: 0, failed: 0, running: 0, waiting_on: 0, retry_at: null, line: "", why: "", since: "", starting: false,
};

export const NOTHING = Object.freeze({ number: -1, run: null, tasks: new Map() });

/** Takes a message in. Returns { state, changed: paths whose task is another than before, resync: whether a message is missing }. */
export function reduce(state, message) {
  if (message.type === "snapshot") {
    if (message.number < state.number) return same(state);
    const tasks = new Map(message.tasks.map((task) => [task.path, { ...FIELDS, ...task }]));
    const changed = [...tasks.keys()].filter((path) => differs(state.tasks.get(path), tasks.get(path)));
    return { state: { number: message.number, run: message.run, tasks }, changed, resync: false };
  }
  if (message.type !== "changed") return same(state);
  if (state.number < 0 || message.previous > state.number) return { ...same(state), resync: true };
  const old = message.number < state.number || (message.number === state.number && message.previous < message.number);
  if (old) return same(state);
  const tasks = new Map(state.tasks), changed = [];
  for (const task of message.tasks) {
    const next = { ...FIELDS, ...task };
    if (differs(tasks.get(task.path), next)) changed.push(task.path);
    tasks.set(task.path, next);
  }
  return { state: { number: message.number, run: message.run, tasks }, changed, resync: false };
}

function same(state) {
  return { state, changed: [], resync: false };
}

// The line of a running step is a clock: that it went on is no change.
function differs(one, other) {
  return !one || Object.keys(FIELDS).some((name) => name !== "line" && one[name] !== other[name]);
}

/** The name of a state's icon and mark: WAITING and CACHED are told apart. */
export function lookOf({ state, attention, cached }) {
  return state === "PENDING" && attention ? "WAITING" : state === "SUCCEEDED" && cached ? "CACHED" : state;
}

export const LOOKS = ["FAILED", "WAITING", "CANCELING", "RUNNING", "PENDING", "SUCCEEDED", "CACHED", "SKIPPED", "CANCELED"];
const WORST_FIRST = ["FAILED", "WAITING", "CANCELING", "RUNNING", "PENDING", "CANCELED", "SKIPPED", "SUCCEEDED", "CACHED"];
export const PENDING = Object.freeze({ ...FIELDS });

/** How many steps (groups only where nothing of them has begun) are in each look, as a Map in the order in which pages show them. */
export function counts(state) {
  const found = new Map();
  for (const task of state.tasks.values()) {
    if ((task.kind === "dag" || task.kind === "loop") && (task.children || task.path === "root")) continue;
    const look = lookOf(task);
    found.set(look, (found.get(look) ?? 0) + 1);
  }
  return new Map(LOOKS.filter((look) => found.has(look)).map((look) => [look, found.get(look)]));
}

/** The worst of a loop's iterations `first` up to `first + count`, for a mark that stands for them. */
export function worst(state, loop, first, count) {
  let found = null, rank = Infinity;
  for (let index = first; index < first + count; index += 1) {
    const task = state.tasks.get(`${loop}[${index}]`) ?? PENDING, at = WORST_FIRST.indexOf(lookOf(task));
    if (at < rank) [found, rank] = [task, at];
  }
  return found ?? PENDING;
}

// Whether what failed at a path failed through something inside it.
function within(state, path) {
  for (const task of state.tasks.values()) {
    if (task.state === "FAILED" && (task.path.startsWith(`${path}/`) || task.path.startsWith(`${path}[`))) return true;
  }
  return false;
}

/** The steps that failed, in order of their ends: for `n`. */
export function failures(state) {
  return [...state.tasks.values()]
    .filter((task) => task.state === "FAILED" && !within(state, task.path))
    .sort((one, other) => (one.finished ?? "~").localeCompare(other.finished ?? "~") || one.path.localeCompare(other.path));
}

/** The loop and index of the innermost iteration that a path is or lies in: { loop, index, rest }, null where there is none. */
export function iterationOf(path) {
  const found = /^(.*)\[(\d+)\](.*)$/.exec(path);
  return found && { loop: found[1], index: Number(found[2]), rest: found[3] };
}

/** What stands for a task whose group has not begun: it has no row, and stands as its group does where that has ended. */
export function unborn(state, path) {
  for (let up = path; up; up = up.endsWith("]") ? up.slice(0, up.lastIndexOf("[")) : up.slice(0, Math.max(up.lastIndexOf("/"), 0))) {
    const above = state.tasks.get(up);
    if (above) return ["SKIPPED", "CANCELED"].includes(above.state) ? { ...PENDING, state: above.state, why: above.reason } : PENDING;
  }
  return PENDING;
}
