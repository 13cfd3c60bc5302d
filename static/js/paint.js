// `paint`, the one function that changes a state on the page.

const FLAGS = ["attention", "cached", "starting"];

/** Sets a state on an element and on the icon or mark inside it; says whether that was a change. `task` is {state, attention, cached, starting}. */
export function paint(element, task) {
  const same = element.getAttribute("data-state") === task.state && FLAGS.every((name) => element.hasAttribute(`data-${name}`) === Boolean(task[name]));
  if (!same) repaint(element, task);
  return !same;
}

/** The same where the icon inside may be of another state than the element: it came later. */
export function repaint(element, task) {
  const { state, attention, cached, starting } = task;
  const look = state === "SUCCEEDED" && cached ? "CACHED" : state !== "PENDING" ? state : attention ? "WAITING" : starting && element.localName !== "use" ? "STARTING" : state;
  put(element, task);
  element.removeAttribute("data-plan");
  if (element.localName === "use") element.setAttribute("href", `#mk-${look}`);
  const icon = element.matches(".si") ? element : element.querySelector(".si");
  if (icon && icon !== element) put(icon, task);
  icon?.querySelector("use")?.setAttribute("href", `#st-${look}`);
}

function put(element, task) {
  element.setAttribute("data-state", task.state);
  for (const name of FLAGS) element.toggleAttribute(`data-${name}`, Boolean(task[name]));
}
