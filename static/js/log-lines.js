// One line of a log as an element, and the runs of library frames that fold away. All text goes in as text.

const LIBRARY = /^\s*File "[^"]*(?:site-packages|dist-packages|\/lib\/python3[^"]*|<frozen [^"]*)[^"]*", line \d+/;
const FRAME = /^\s*File "[^"]+", line \d+/;
const INPUT = /^\[KFP Executor [^\]]*\]: Got executor_input:/;
const FEWEST_FOLDED = 4; // lines
const WORDS = { frames: "lines of library frames", input: "lines of what the step was given" };

/** Line: [number, µs, stream, level, text]. `time(µs)` gives the second column, `needle` is marked. */
export function lineElement([number, at, stream, level, text], { time, needle, chosen }) {
  const row = document.createElement("div"), link = document.createElement("a"), clock = document.createElement("time"), body = document.createElement("span");
  row.className = `ln ${level}${chosen ? " at" : ""}`;
  row.id = `L${number}`;
  row.dataset.number = number;
  link.href = `#L${number}`;
  link.textContent = number.toLocaleString("en");
  clock.textContent = time(at);
  if (stream === "k") {
    const chip = document.createElement("span");
    chip.className = "chip";
    chip.textContent = "kfdash";
    body.append(chip);
  }
  marked(body, text, needle);
  row.append(link, clock, body);
  return row;
}

function marked(body, text, needle) {
  if (!needle) return void body.append(text);
  const low = text.toLowerCase(), sought = needle.toLowerCase();
  let from = 0;
  for (let at = low.indexOf(sought); at >= 0 && from < text.length; at = low.indexOf(sought, from)) {
    const mark = document.createElement("mark");
    mark.textContent = text.slice(at, at + sought.length);
    body.append(text.slice(from, at), mark);
    from = at + sought.length;
  }
  body.append(text.slice(from));
}

/** Lines as { line }, and what nobody looks for as { fold: lines, words }, where it is long enough: library frames of a traceback, the executor's input. */
export function folded(lines) {
  const found = [];
  let run = [], kind = "";
  const close = () => {
    if (run.length >= FEWEST_FOLDED) found.push({ fold: run, words: WORDS[kind] });
    else found.push(...run.map((line) => ({ line })));
    run = [];
    kind = "";
  };
  for (const line of lines) {
    const text = line[4];
    if (kind === "input") {
      run.push(line);
      if (text === "}") close();
      continue;
    }
    const inside = LIBRARY.test(text) || (kind === "frames" && !FRAME.test(text) && /^\s{2,}/.test(text));
    if (!inside) close();
    if (inside) { kind = "frames"; run.push(line); }
    else { found.push({ line }); if (INPUT.test(text)) kind = "input"; }
  }
  close();
  return found;
}

/** Adds lines to the short tail in the overview, which keeps the last six. */
export function tailLine(tail, lines) {
  for (const [number, , , level, text] of lines.slice(-6)) {
    if (number <= Number(tail.lastElementChild?.dataset.number ?? 0)) continue;
    const row = document.createElement("div"), link = document.createElement("a"), body = document.createElement("span");
    row.className = `ln ${level}`;
    row.dataset.number = number;
    link.textContent = number;
    body.textContent = text;
    row.append(link, body);
    tail.append(row);
    if (tail.childElementCount > 6) tail.firstElementChild.remove();
  }
}
