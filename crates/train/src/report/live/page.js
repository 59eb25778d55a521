// The live page: a table of runs, charts of their epochs, and the last predictions of one of them.
"use strict";
(() => {
  const element = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const drawn = (tag, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const percent = (share) => (Number.isFinite(share) ? (share * 100).toFixed(1) : "");
  const COLORS = 10, EVERY = 1000;
  const title = document.title;

  // Charts.
  const WIDTH = 460, HEIGHT = 300, LEFT = 52, RIGHT = 84, TOP = 30, BOTTOM = 34;
  // About five round values that cover the range.
  const ticks = (low, high) => {
    const span = Math.max(high - low, 1e-9), magnitude = 10 ** Math.floor(Math.log10(span / 5));
    const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((own) => span / own <= 6) ?? span;
    const first = Math.floor(low / step), last = Math.max(Math.ceil(high / step), first + 1);
    return Array.from({ length: last - first + 1 }, (_, number) => (first + number) * step);
  };
  const compact = (value) => {
    const rounded = Number(value.toPrecision(4));
    return value !== 0 && Math.abs(value) < 0.001 ? rounded.toExponential() : String(rounded);
  };
  // Each line has a name, which may be empty, a text, CSS classes, and points.
  const chart = (heading, lines) => {
    const points = lines.flatMap((line) => line.points).filter(([, y]) => Number.isFinite(y));
    if (!points.length) return [];
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    const most = Math.max(...xs), least = Math.min(...xs, most - 1);
    const rows = ticks(Math.min(...ys), Math.max(...ys)), right = WIDTH - (lines.some((line) => line.name) ? RIGHT : 16);
    const x = (value) => LEFT + ((value - least) / (most - least)) * (right - LEFT);
    const y = (value) => HEIGHT - BOTTOM - ((value - rows[0]) / (rows.at(-1) - rows[0])) * (HEIGHT - BOTTOM - TOP);
    const text = (className, at, down, anchor, content) => drawn("text", { class: className, x: at, y: down, "text-anchor": anchor }, content);
    const summary = lines.map((line) => `${line.about}: ${compact(line.points.at(-1)?.[1] ?? NaN)}`).join("; ");
    const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${heading}, last epoch: ${summary}` });
    svg.append(text("title", LEFT, 16, "start", heading), text("tick", (LEFT + right) / 2, HEIGHT - 4, "middle", "epoch"));
    for (const row of rows) {
      svg.append(drawn("line", { class: "grid", x1: LEFT, x2: right, y1: y(row), y2: y(row) }));
      svg.append(text("tick", LEFT - 6, y(row) + 4, "end", compact(row)));
    }
    for (const column of ticks(least, most).filter((value) => Number.isInteger(value) && value >= Math.max(least, 1) && value <= most)) {
      svg.append(text("tick", x(column), HEIGHT - BOTTOM + 16, "middle", column));
    }
    const ends = [];
    for (const line of lines) {
      const own = line.points.filter(([, value]) => Number.isFinite(value));
      if (!own.length) continue;
      const [at, value] = own.at(-1), place = own.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ");
      svg.append(drawn("polyline", { class: `curve ${line.className}`, points: place }, drawn("title", {}, line.about)));
      svg.append(drawn("circle", { class: `dot ${line.className}`, cx: x(at), cy: y(value), r: 3 }, drawn("title", {}, `${line.about}, epoch ${at}: ${compact(value)}`)));
      if (line.name) ends.push({ line, at: y(value) });
    }
    // Labels do not overlap, and stay above the axis.
    ends.sort((one, other) => one.at - other.at);
    ends.forEach((end, number) => { if (number) end.at = Math.max(end.at, ends[number - 1].at + 15); });
    ends.reduceRight((limit, end) => { end.at = Math.min(end.at, limit); return end.at - 15; }, HEIGHT - BOTTOM);
    for (const { line, at } of ends) svg.append(text(`name ${line.className}`, right + 8, at + 4, "start", line.name));
    return [svg];
  };

  let runs = [];
  const hidden = new Set(), rows = [];

  const draw = () => {
    const several = runs.length > 1;
    const visible = runs.map((run, number) => ({ ...run, number })).filter((run) => run.history?.length && !hidden.has(run.number));
    const series = (run, field, scale = 1) => run.history.map((record) => [record.epoch, record[field] === null ? NaN : record[field] * scale]);
    const line = (run, field, scale, of, className, name) => ({
      name: several ? "" : name,
      about: several ? `${run.name}, ${of}` : of,
      className: several ? `c${run.number % COLORS}${of === "training" ? " dashed" : ""}` : className,
      points: series(run, field, scale),
    });
    const both = (heading, what, scale) => chart(heading, visible.flatMap((run) => [
      line(run, `train_${what}`, scale, "training", "a dashed", "training"),
      line(run, `validation_${what}`, scale, "validation", "b", "validation"),
    ]));
    const one = (heading, field, of) => chart(heading, visible.map((run) => line(run, field, 1, of, "a", "")));
    element("curves").replaceChildren(
      ...both("Accuracy, %", "accuracy", 100),
      ...both("Loss", "loss", 1),
      ...one("Learning rate", "learning_rate", "learning rate"),
      ...one("Images per second", "images_per_second", "images per second"),
    );
    element("about").hidden = !visible.length;
  };

  const best = (run) => run.history.reduce((first, record) => (record.validation_accuracy > (first?.validation_accuracy ?? -1) ? record : first), undefined);
  const progress = (run) => (run.epochs ? `${run.history.length}/${run.epochs}` : String(run.history.length));

  const table = () => {
    element("runs").hidden = false;
    element("runs").classList.toggle("one", runs.length === 1);
    runs.forEach((run, number) => {
      if (!rows[number]) {
        const box = make("input", { type: "checkbox", checked: true });
        box.addEventListener("change", () => {
          if (box.checked) hidden.delete(number); else hidden.add(number);
          draw();
        });
        const name = make("label", {}, box, make("span", { className: `key c${number % COLORS}` }), make("span", { textContent: run.name }));
        rows[number] = make("tr", {}, make("td", {}, name), ...Array.from({ length: 4 }, () => make("td")));
        element("runs").tBodies[0].append(rows[number]);
        element("which").append(make("option", { value: number, textContent: run.name }));
      }
      const last = run.history?.at(-1), kept = run.history && best(run);
      const cells = run.error ? [run.error, "", "", ""] : [
        progress(run),
        last ? percent(last.validation_accuracy) : "",
        kept ? `${percent(kept.validation_accuracy)} (${kept.epoch})` : "",
        last ? last.images_per_second?.toFixed(0) ?? "" : "",
      ];
      cells.forEach((text, column) => { rows[number].cells[column + 1].textContent = text; });
    });
    element("choose").hidden = runs.length === 1;
  };

  const state = (text) => { element("state").textContent = text; };
  const describe = () => {
    if (runs.length > 1) return state(`${runs.length} runs`);
    const [run] = runs;
    if (!run) return state("");
    if (run.error) return state(run.error);
    const name = run.architecture ? `${run.architecture}: ` : "";
    document.title = run.history.length ? `${progress(run)} – ${title}` : title;
    return state(run.history.length ? `${name}epoch ${progress(run)}` : `${name}no epoch is finished yet`);
  };

  // The confusion matrix and the images of a run.
  const predictions = (validation) => {
    element("last").hidden = !validation;
    if (!validation) return;
    const { labels, confusion, samples, split, epoch } = validation;
    element("heading").textContent = `Confusion matrix on ${split}, epoch ${epoch}`;
    const head = make("thead", {}, make("tr", {}, ...["true \\ predicted", ...labels].map((label) => make("th", { textContent: label, scope: "col" }))));
    const body = make("tbody", {}, ...confusion.map((counts, row) => {
      const sum = Math.max(counts.reduce((one, other) => one + other, 0), 1);
      return make("tr", {}, make("td", { textContent: labels[row] }), ...counts.map((count) => {
        const cell = make("td", { textContent: count });
        cell.style.background = `rgba(var(--cell),${((0.75 * count) / sum).toFixed(2)})`;
        return cell;
      }));
    }));
    element("confusion").replaceChildren(head, body);
    element("samples").replaceChildren(...samples.map(({ id, label, predicted, confidence, image }) => {
      const text = make("figcaption", {}, `${predicted} ${percent(confidence)} %`);
      if (label !== predicted) text.append(make("br"), make("span", { className: "miss", textContent: `true: ${label}` }));
      return make("figure", { title: id }, make("img", { src: image, alt: `image ${id}` }), text);
    }));
  };

  const embedded = JSON.parse(element("data").textContent);
  const which = () => Number(element("which").value || 0);
  // A document of the service; null without a response.
  const fetched = async (path) => {
    try {
      return await (await fetch(path)).json();
    } catch {
      return null;
    }
  };
  // Of which run and epoch the predictions are shown.
  let of = "";
  const last = async () => {
    const number = which(), key = `${number} ${runs[number]?.history?.length}`;
    if (key === of) return;
    of = key;
    const validation = embedded ? runs[number]?.validation : await fetched(`runs/${number}.json`);
    if (key === of) predictions(validation);
  };
  element("which").addEventListener("change", last);

  let shown = "";
  const show = (found) => {
    const text = JSON.stringify(found);
    if (text === shown) return;
    [runs, shown] = [found, text];
    table();
    describe();
    draw();
  };
  if (embedded) {
    show(embedded.runs);
    last();
    return;
  }

  let timer, polling = false, ended = false;
  const end = () => {
    ended = true;
    state(`${element("state").textContent}. The command has ended; this is its last state.`);
  };
  const poll = async () => {
    clearTimeout(timer);
    if (polling || ended || document.hidden) return;
    polling = true;
    const found = await fetched("runs.json");
    if (found) {
      show(found.runs);
      await last();
    }
    if (found?.ended) await fetched("end.json");
    polling = false;
    if (!found || found.ended) end();
    else timer = setTimeout(poll, EVERY);
  };
  document.addEventListener("visibilitychange", poll);
  poll();
})();
