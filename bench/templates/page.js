"use strict";
// Every word of a record reaches the page through textContent: it is shown, never parsed as markup.
(() => {
  const data = JSON.parse(document.getElementById("summary").textContent);
  const CELLS_A_SHELF = 256, CASES_SHOWN = 25;
  const byId = (id) => document.getElementById(id);
  const metrics = new Map(data.metrics.map(([id, title, unit, higher, count]) => [id, { id, title, unit, higher, count }]));
  const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  const make = (tag, told = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(told)) {
      if (value === undefined || value === null || value === false) continue;
      if (name === "text") node.textContent = value;
      else if (name === "click") node.addEventListener("click", value);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };

  // --- lines -----------------------------------------------------------------------------------------------------------
  const measured = data.measured.map((row, at) => {
    const [board, method, family, corpus, setting, n, few, letters, exposure, exposed, scores, cells] = row;
    const [source, task, protocol, preset, ratio, unit, heading, tested, untested] = data.boards[board];
    return {
      kind: "measured", id: `m${at}`, board, method, family, corpus, setting, n, few, letters, exposed, scores, cells, source, task, protocol,
      preset, ratio, unit, heading, tested, untested, exposure: data.exposures[exposure],
      words: [method, family, corpus, setting, task, protocol, preset, ...cells.map((cell) => data.names[cell])].join(" ").toLowerCase(),
    };
  });
  const printed = data.printed.map((row, at) => {
    const [task, protocol, ratio, method, key, family, corpus, setting, table, title, command, exposure, scores, regions, tags] = row;
    return {
      kind: "printed", id: `p${at}`, source: "real", task, protocol, ratio, method, key, family, corpus, setting, table, title, command, scores,
      regions, tags, letters: "", n: null, exposure: data.exposures[exposure],
      words: [method, key, family, corpus, setting, task, protocol, table, title].join(" ").toLowerCase(),
    };
  });

  const percent = (ratio) => `${Number((100 * ratio).toPrecision(6))} %`;
  const shown = (value) => (value === null ? "undefined" : value.toFixed(2));
  const valueOf = (line) => {
    const score = line.scores[state.metric];
    return line.kind === "printed" ? score[2] : score[0];
  };

  // --- columns ---------------------------------------------------------------------------------------------------------
  const columns = [
    { key: "method", head: "Method", of: (line) => line.method },
    { key: "family", head: "Family", of: (line) => line.family, extra: true },
    { key: "task", head: "Task", of: (line) => line.task },
    { key: "protocol", head: "Protocol", of: (line) => line.protocol, extra: true },
    { key: "ratio", head: "Labels", of: (line) => line.ratio, number: true },
    { key: "corpus", head: "Corpus", of: (line) => line.corpus, extra: true },
    { key: "score", head: "", of: valueOf, number: true, best: true },
    { key: "runs", head: "Runs", of: (line) => (line.kind === "printed" ? null : line.scores[state.metric][2]), number: true, extra: true },
    { key: "n", head: "Cases", of: (line) => line.n, number: true, extra: true },
    { key: "letters", head: "Ties", of: (line) => line.letters || null },
  ];

  // --- state: in the address, so that a view can be sent ---------------------------------------------------------------
  const fields = ["metric", "task", "family", "protocol", "ratio", "source"];
  const defaults = { view: "real", metric: data.metrics.length ? data.metrics[0][0] : "", task: "", family: "", protocol: "", ratio: "", source: "", search: "",
    sort: "task", down: "", page: "1", size: "50" };
  if (!measured.some((line) => line.source === "real") && measured.length) defaults.view = "phantom";
  const state = { ...defaults, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
  for (const name of Object.keys(state)) if (!(name in defaults)) delete state[name];
  if (!["real", "phantom"].includes(state.view)) state.view = defaults.view;
  if (!metrics.has(state.metric)) state.metric = defaults.metric;
  if (!columns.some((column) => column.key === state.sort)) state.sort = defaults.sort;
  if (!["25", "50", "200"].includes(state.size)) state.size = defaults.size;
  const remember = () => {
    const told = Object.entries(state).filter(([name, value]) => value !== defaults[name]);
    const hash = new URLSearchParams(told).toString();
    try { history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search); } catch { /* a viewer without history */ }
  };

  const inView = () => (state.view === "phantom"
    ? measured.filter((line) => line.source !== "real")
    : [...measured.filter((line) => line.source === "real"), ...printed]);
  const fits = (line, except) => fields.every((name) => {
    if (name === except || !state[name]) return true;
    if (name === "metric") return state.metric in line.scores;
    if (name === "source") return line.kind === state.source;
    return String(line[name]) === state[name];
  }) && state.search.toLowerCase().split(/\s+/).every((word) => line.words.includes(word));

  const compare = (one, other) => {
    const a = one[0], b = other[0];
    if (a === b) return 0;
    if (a === null || a === undefined || a === "") return 1; // what is not known stands last, whichever way
    if (b === null || b === undefined || b === "") return -1;
    const sign = one[1];
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : order.compare(String(a), String(b)));
  };
  const sorted = (lines) => {
    const column = columns.find((each) => each.key === state.sort);
    const upward = metrics.get(state.metric).higher ? -1 : 1;
    const first = (column.best ? upward : 1) * (state.down ? -1 : 1);
    const keyed = lines.map((line) => [line, [[column.of(line), first], [line.task, 1], [line.protocol, 1], [line.ratio, 1], [valueOf(line), upward], [line.method, 1]]]);
    keyed.sort((x, y) => {
      for (let at = 0; at < x[1].length; at += 1) {
        const found = compare(x[1][at], y[1][at]);
        if (found) return found;
      }
      return 0;
    });
    return keyed.map(([line]) => line);
  };

  // --- controls --------------------------------------------------------------------------------------------------------
  const offer = () => {
    const lines = inView();
    const words = { task: "all tasks", family: "all families", protocol: "all protocols", ratio: "all shares" };
    for (const [name, all] of Object.entries(words)) {
      const found = [...new Set(lines.map((line) => line[name]).filter((word) => word !== ""))];
      found.sort((a, b) => (typeof a === "number" ? a - b : order.compare(a, b)));
      const options = found.map((word) => make("option", { value: word, text: name === "ratio" ? percent(word) : word }));
      byId(name).replaceChildren(make("option", { value: "", text: all }), ...options);
      if (!found.some((word) => String(word) === state[name])) state[name] = "";
    }
    const held = [...metrics.values()].filter((metric) => lines.some((line) => metric.id in line.scores));
    byId("metric").replaceChildren(...held.map((metric) => make("option", { value: metric.id, text: `${metric.title}, ${metric.unit}` })));
    if (held.length && !held.some((metric) => metric.id === state.metric)) state.metric = held[0].id;
    byId("source").closest("label").hidden = state.view === "phantom";
    if (state.view === "phantom") state.source = "";
    for (const name of [...fields, "search", "size"]) byId(name).value = state[name];
  };
  const fallBack = () => { // a task without the chosen metric shows its own first one
    const lines = inView();
    if (lines.some((line) => fits(line))) return;
    const others = lines.filter((line) => fits(line, "metric"));
    const first = others.flatMap((line) => (line.kind === "measured" ? [line.heading] : [])).concat(others.flatMap((line) => Object.keys(line.scores)))[0];
    if (first && metrics.has(first)) { state.metric = first; byId("metric").value = first; }
  };

  // --- the table -------------------------------------------------------------------------------------------------------
  const board = byId("board");
  const heads = columns.map((column) => {
    const button = make("button", { type: "button", text: column.head });
    button.addEventListener("click", () => {
      state.down = state.sort === column.key && !state.down ? "1" : "";
      state.sort = column.key;
      state.page = "1";
      draw();
    });
    const head = make("th", { scope: "col", class: `${column.number ? "number" : ""} ${column.extra ? "extra" : ""}`.trim(), "data-key": column.key }, button);
    byId("heads").append(head);
    return { column, head, button };
  });
  byId("heads").append(make("th", { scope: "col" }, make("span", { class: "plain", text: "Notes" })));
  const WIDTH = columns.length + 1;

  const chip = (text, title, strong) => make("span", { class: strong ? "chip strong" : "chip", title, text });
  const chips = (line) => {
    const found = [];
    if (line.kind === "printed") {
      found.push(chip(line.table, line.title));
      if (line.exposure) found.push(chip("exposed", line.exposure, true));
      if (line.tags.includes("ocr-uncertain")) found.push(chip("digits uncertain", "the scanned text is damaged"));
      if (line.tags.includes("reimplemented-by-mim-authors")) found.push(chip("reimplemented", "re-implemented by the authors of MiM"));
      return found;
    }
    const [mean, , , cases, marks] = line.scores[state.metric];
    if (line.exposed) found.push(chip(`exposed ${line.exposed}`, line.exposure, true));
    else if (/^(unknown|not recorded)/.test(line.exposure)) found.push(chip("exposure unknown", line.exposure));
    if (line.few) found.push(chip("n < 50", "fewer than 50 test cases"));
    if (marks.includes("partial")) found.push(chip(cases ? `partial, ${cases}` : "partial", "not all cases of the split were there; not ranked", true));
    if (marks.includes("mixed")) found.push(chip("mixed", "averages runs whose data or versions differ; not ranked", true));
    if (marks.includes("apart")) found.push(chip("other data", "of other files or lists of cases than a result beside it; not ranked", true));
    if (marks.includes("single")) found.push(chip("one run", "no spread is known"));
    if (marks.includes("undefined") && mean !== null) found.push(chip("some undefined", "undefined values stand in no mean"));
    return found;
  };
  const scoreParts = (line) => {
    const score = line.scores[state.metric];
    if (line.kind === "printed") {
      return [make("span", { text: score[0] }), score[1] ? make("span", { class: "spread", text: ` ± ${score[1]}` }) : null];
    }
    const rank = { 1: "first", 2: "second" }[score[5]];
    const told = rank === "first" ? "best of its board" : rank === "second" ? "second of its board" : undefined;
    return [make("span", { class: rank, title: told, text: shown(score[0]) }), score[1] === null ? null : make("span", { class: "spread", text: ` ± ${shown(score[1])}` }),
      score[6] ? make("span", { class: "spread", text: ` ${score[6]}` }) : null];
  };
  const drawLine = (line, index) => {
    const id = `detail-${line.id}`;
    const button = make("button", { type: "button", class: "open-line", "aria-expanded": "false", "aria-controls": id, text: line.method });
    const under = [line.kind === "printed" && line.key && line.key !== line.method ? line.key : "", line.setting].filter(Boolean).join(" · ");
    const row = make("tr", { class: "line", "aria-rowindex": index },
      make("th", { scope: "row" }, button, under ? make("span", { class: "under", text: under }) : null),
      make("td", { class: "extra", text: line.family }),
      make("td", { text: line.task }),
      make("td", { class: "extra protocol", text: line.protocol }, line.preset && line.preset !== "full" ? make("span", { class: "spread", text: ` ${line.preset}` }) : null),
      make("td", { class: "number", text: percent(line.ratio) }),
      make("td", { class: "extra", text: line.corpus === "none" ? "" : line.corpus }),
      make("td", { class: "number score" }, ...scoreParts(line)),
      make("td", { class: "number extra", text: line.kind === "printed" ? "" : line.scores[state.metric][2] }),
      make("td", { class: "number extra", text: line.n === null ? "" : line.n }),
      make("td", { class: "letters", text: line.heading === state.metric ? line.letters : "", title: line.kind === "measured" ? (line.untested || `over ${line.tested} cases`) : undefined }),
      make("td", {}, ...chips(line)));
    button.addEventListener("click", () => toggle(line, row, button, id));
    return row;
  };
  const group = (kind, count) => {
    const told = kind === "measured" ? ["Measured here", `${count} results of runs in this folder`] : ["Printed in papers", `${count} rows, with their own splits and checkpoints; not ranked with ours`];
    return make("tr", { class: "group" }, make("th", { colspan: WIDTH, scope: "rowgroup" }, told[0], make("small", { text: told[1] })));
  };

  const draw = () => {
    const lines = inView().filter((line) => fits(line));
    const parts = { measured: sorted(lines.filter((line) => line.kind === "measured")), printed: sorted(lines.filter((line) => line.kind === "printed")) };
    const every = [...parts.measured, ...parts.printed];
    const size = Number(state.size);
    const pages = Math.max(1, Math.ceil(every.length / size));
    const page = Math.min(Math.max(1, Number(state.page) || 1), pages);
    state.page = String(page);
    const start = (page - 1) * size;
    const now = every.slice(start, start + size);
    for (const body of [...board.tBodies]) body.remove();
    for (const kind of ["measured", "printed"]) {
      const here = now.filter((line) => line.kind === kind);
      if (!here.length) continue;
      const body = make("tbody", { class: kind }, group(kind, parts[kind].length));
      for (const line of here) body.append(drawLine(line, every.indexOf(line, start) + 2));
      board.append(body);
    }
    const metric = metrics.get(state.metric);
    const title = metric ? `${metric.title}, ${metric.unit}` : "";
    for (const { column, head, button } of heads) {
      if (column.key === "score") button.textContent = title;
      if (column.key !== state.sort) { head.removeAttribute("aria-sort"); continue; }
      const rising = Boolean(column.best && metric && metric.higher) === Boolean(state.down);
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    }
    board.setAttribute("aria-rowcount", String(every.length + 1));
    byId("caption").textContent = `Results by ${title}, ${state.view === "phantom" ? "phantom data" : "real data"}; each line opens to its record.`;
    byId("status").textContent = every.length
      ? `${start + 1} to ${start + now.length} of ${every.length} lines with ${title}` + (state.view === "phantom" ? "." : `: ${parts.measured.length} measured, ${parts.printed.length} printed.`)
      : "No line fits. Change a filter, or reset them.";
    byId("page").textContent = `Page ${page} of ${pages}`;
    byId("previous").disabled = page <= 1;
    byId("next").disabled = page >= pages;
    byId("phantom-note").hidden = state.view !== "phantom";
    for (const view of ["real", "phantom"]) byId(`view-${view}`).setAttribute("aria-pressed", String(state.view === view));
    remember();
  };

  // --- an opened line --------------------------------------------------------------------------------------------------
  const toggle = (line, row, button, id) => {
    const opened = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!opened));
    row.classList.toggle("open", !opened);
    if (opened) { byId(id).remove(); return; }
    const place = make("div", { class: "inside", role: "region", "aria-label": `Details of ${line.method} on ${line.task}` });
    row.after(make("tr", { class: "detail", id }, make("td", { colspan: WIDTH }, place)));
    if (line.kind === "printed") drawPrinted(place, line);
    else drawMeasured(place, line);
    place.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      toggle(line, row, button, id);
      button.focus();
    });
  };
  const facts = (pairs) => {
    const list = make("dl", { class: "facts" });
    for (const [word, told] of pairs) {
      if (told === "" || told === null || told === undefined || (Array.isArray(told) && !told.length)) continue;
      const value = Array.isArray(told) ? make("ul", {}, ...told.map((text) => make("li", { text }))) : null;
      list.append(make("dt", { text: word }), value ? make("dd", {}, value) : make("dd", { text: told }));
    }
    return list;
  };
  const command = (text) => {
    const code = make("code", { tabindex: "0", text });
    const button = make("button", { type: "button", text: "Copy", "aria-label": "Copy the command" });
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch { // without the right to write there: mark it, so that one key copies it
        getSelection().selectAllChildren(code);
        button.textContent = "Marked";
      }
    });
    return make("div", { class: "command" }, code, button);
  };
  const table = (caption, heads_, rows, words) => make("table", { class: "small" }, make("caption", { text: caption }),
    make("thead", {}, make("tr", {}, ...heads_.map((head, at) => make("th", { scope: "col", class: at < words ? "word" : null, text: head })))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((value, at) => (at === 0 ? make("th", { scope: "row", class: "word", text: value }) : make("td", { class: at < words ? "word" : null, text: value })))))));

  const drawPrinted = (place, line) => {
    place.append(make("h3", { text: `${line.method}, as printed` }),
      facts([["Table", line.title], ["Method here", line.key], ["Corpus", line.corpus], ["Setting", line.setting], ["Task here", `${line.task}, protocol ${line.protocol}`],
        ["Exposure", line.exposure], ["Notes", line.tags]]));
    const names = [...new Set([...Object.keys(line.scores), ...Object.values(line.regions).flatMap((told) => Object.keys(told))])];
    const told = (scores, name) => (name in scores ? scores[name][3] + (scores[name][4] ? ` ± ${scores[name][4]}` : "") : "");
    const rows = [...(Object.keys(line.scores).length ? [["all", ...names.map((name) => told(line.scores, name))]] : []),
      ...Object.entries(line.regions).map(([region, scores]) => [region, ...names.map((name) => told(scores, name))])];
    const units = new Map([line.scores, ...Object.values(line.regions)].flatMap((scores) => Object.entries(scores).map(([name, score]) => [name, score[5]])));
    place.append(table("Digits as printed", ["region", ...names.map((name) => `${name} (${units.get(name)})`)], rows, 1));
    if (line.command) place.append(make("h4", { text: "Runs the same here" }), command(line.command));
    else place.append(make("p", { class: "under", text: "This version cannot run it: bench table tells what is lacking." }));
  };

  const shelvesRead = new Map(), waiting = new Map();
  globalThis.shelf = (at, told) => { shelvesRead.set(at, told); };
  const readShelf = (at) => {
    if (data.inline && !shelvesRead.has(at)) shelvesRead.set(at, JSON.parse(byId(`shelf-${at}`).textContent));
    if (shelvesRead.has(at)) return Promise.resolve(shelvesRead.get(at));
    if (!waiting.has(at)) {
      const path = `data/cells-${String(at).padStart(4, "0")}.js`;
      waiting.set(at, new Promise((found, lost) => {
        const script = make("script", { src: path });
        const failed = () => { waiting.delete(at); lost(new Error(`${path} does not lie beside this page, or is damaged.`)); };
        script.addEventListener("load", () => (shelvesRead.has(at) ? found(shelvesRead.get(at)) : failed()));
        script.addEventListener("error", failed);
        document.head.append(script);
      }));
    }
    return waiting.get(at);
  };

  const drawMeasured = (place, line) => {
    const run = make("div");
    const show = async (cell, button) => {
      for (const other of runs.children) other.setAttribute("aria-pressed", String(other === button));
      run.replaceChildren(make("p", { class: "under", text: "Reading …" }));
      try {
        const shelf = await readShelf(Math.floor(cell / CELLS_A_SHELF));
        run.replaceChildren();
        drawRun(run, line, shelf[data.names[cell]], data.names[cell]);
      } catch (error) {
        run.replaceChildren(make("p", { class: "warning", text: error.message }));
      }
    };
    const runs = make("div", { class: "runs", role: "group", "aria-label": "Runs" });
    for (const cell of line.cells) {
      const button = make("button", { type: "button", "aria-pressed": "false", text: /-(s\d+-f\d+)-[^-]+$/.exec(data.names[cell])?.[1] ?? data.names[cell], title: data.names[cell] });
      button.addEventListener("click", () => show(cell, button));
      runs.append(button);
    }
    place.append(make("h3", { text: `${line.method} on ${line.task}, ${percent(line.ratio)} of labels` }),
      facts([["Protocol", `${line.protocol}, preset ${line.preset}`], ["Exposure", line.exposure], ["Ties", line.letters ? `${line.letters}, over ${line.tested} cases (${line.heading})` : line.untested],
        ["Data", line.source === "real" ? "real" : "phantom: no medical result"]]),
      line.cells.length > 1 ? runs : null, run);
    show(line.cells[0], runs.children[0]);
  };

  const score = (metric, value) => {
    if (value === null || value === undefined) return "undefined";
    if (typeof value !== "number") return String(value);
    const known = metrics.get(metric);
    return known && known.unit === "%" ? (100 * value).toFixed(2) : value.toFixed(known ? 2 : 4);
  };
  const drawRun = (place, line, told, name) => {
    const record = told.record, made = record.provenance ?? {};
    place.append(make("h4", { text: "Repeats it" }), command(record.command),
      facts([["Run", name], ["Seed, fold", `${record.seed}, ${record.fold}; pre-training ${record.pretrain_seed}`],
        ["Cases", `${record.n} scored of ${record.n_listed}; trained on ${record.n_train}${record.partial ? `; partial: ${record.partial}` : ""}`],
        ["Made", [made.created, made.commit, made.processor].filter((word) => typeof word === "string").join(", ")],
        ["Departs from the paper", record.differs], ["Notes", record.notes],
        ["Seen in pre-training", Object.entries(record.exposed ?? {}).map(([known, how]) => `${known}: ${how}`)],
        ["Left out", record.excluded],
        ["Counts", Object.entries(record.counts).map(([word, count]) => `${word} ${count}`).join(", ")]]));
    const names = record.metrics.length ? record.metrics : Object.keys(record.scores);
    const rows = [["all", ...names.map((metric) => score(metric, record.scores[metric]))],
      ...Object.entries(record.class_scores).map(([word, means]) => [word, ...names.map((metric) => (metric in means ? score(metric, means[metric]) : ""))])];
    place.append(table(`Scores: fractions in %, distances in ${record.distance_unit}`, ["class", ...names], rows, 1));
    if (told.beside.unreadable) place.append(make("p", { class: "warning", text: told.beside.unreadable }));
    if (told.cases) drawCases(place, told.cases);
    if (told.beside.pictures.length) {
      place.append(make("h4", { text: "Truth (solid) and prediction (dashed)" }), make("div", { class: "pictures" }, ...told.beside.pictures.map((word) => make("figure", {},
        make("img", { src: `pictures/${name}/${word}.png`, alt: `Overlay of the ${word} test case`, loading: "lazy" }), make("figcaption", { text: `${word} case` })))));
    }
    const pre = make("pre", { tabindex: "0" });
    const whole = make("details", {}, make("summary", { text: "Whole record" }), pre);
    whole.addEventListener("toggle", () => { if (whole.open && !pre.textContent) pre.textContent = JSON.stringify(record, null, 1); });
    place.append(whole);
  };
  const drawCases = (place, told) => {
    const [[cases, ofCase], [classes, ofClass], [names, ofMetric]] = [told.case, told.class, told.metric];
    const held = new Map();
    told.value.forEach((value, at) => {
      const key = ofCase[at] * classes.length + ofClass[at];
      if (!held.has(key)) held.set(key, [cases[ofCase[at]], classes[ofClass[at]], ...names.map(() => "")]);
      held.get(key)[2 + ofMetric[at]] = score(names[ofMetric[at]], value);
    });
    const rows = [...held.keys()].sort((a, b) => a - b).map((key) => held.get(key));
    const holder = make("div", { class: "cases" });
    const some = (count) => holder.replaceChildren(table(`${cases.length} cases, ${rows.length} rows`, ["case", "class", ...names], rows.slice(0, count), 2),
      ...(count < rows.length ? [make("button", { type: "button", text: `Show all ${rows.length} rows`, click: () => some(rows.length) })] : []));
    some(CASES_SHOWN);
    place.append(make("h4", { text: "Per-case scores" }), holder);
  };

  // --- events ----------------------------------------------------------------------------------------------------------
  const changed = (name, value) => { state[name] = value; state.page = "1"; fallBack(); draw(); };
  for (const name of fields) byId(name).addEventListener("change", (event) => changed(name, event.target.value));
  let typing = 0;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => { state.search = event.target.value.trim(); state.page = "1"; draw(); }, 120);
  });
  byId("size").addEventListener("change", (event) => changed("size", event.target.value));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").addEventListener("reset", (event) => {
    event.preventDefault();
    Object.assign(state, { ...defaults, view: state.view, size: state.size });
    offer();
    draw();
  });
  for (const [id, step] of [["previous", -1], ["next", 1]]) {
    byId(id).addEventListener("click", () => { state.page = String(Number(state.page) + step); draw(); });
  }
  for (const view of ["real", "phantom"]) {
    byId(`view-${view}`).addEventListener("click", () => { state.view = view; state.page = "1"; offer(); fallBack(); draw(); });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typingNow = event.target.matches("input, select, textarea");
    if (event.key === "/" && !typingNow) { event.preventDefault(); byId("search").focus(); return; }
    if (!["ArrowDown", "ArrowUp"].includes(event.key) || !event.target.matches(".open-line")) return;
    event.preventDefault();
    const every = [...board.querySelectorAll(".open-line")];
    every[every.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
  });

  const real = measured.filter((line) => line.source === "real").length, phantom = measured.length - real;
  byId("counts").textContent = `${real} measured results on real data${phantom ? `, ${phantom} on phantoms` : ""}; ${data.names.length} runs; ${printed.length} rows printed in four papers.`;
  byId("view-phantom").disabled = !phantom;
  if (data.broken.length) {
    byId("broken").hidden = false;
    byId("broken").append(make("strong", { text: `${data.broken.length} files are no readable cells and stand in no line:` }),
      make("ul", {}, ...data.broken.slice(0, 20).map(([file, reason]) => make("li", { text: `${file}: ${reason}` }))));
  }
  offer();
  fallBack();
  draw();
})();
