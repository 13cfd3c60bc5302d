// Which groups of the graph are open is part of the address: `open=GROUP,GROUP`, template paths.

/** The address with a group opened that was folded, or folded that was open (then all inside it too). */
export function toggled(href, path) {
  const url = new URL(href), open = (url.searchParams.get("open") ?? "").split(",").filter(Boolean);
  const template = path.replace(/\[\d+\]/g, "");
  const next = open.includes(template) ? open.filter((other) => other !== template && !other.startsWith(`${template}/`)) : [...open, template];
  if (next.length) url.searchParams.set("open", next.join(",")); else url.searchParams.delete("open");
  return url;
}
