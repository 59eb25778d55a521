// The gallery of an audit: a list of cards of which only the visible ones exist, decisions, and their export.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { key, classes, splits, kinds, galleries, items, name, fixes } = data;
  const [ID, SPLIT, GIVEN, SUGGESTED, SCORE, KINDS, CONFIDENCE, GALLERY, MARK] = items.length ? items[0].keys() : [];
  const KEEP = "keep", RELABEL = "relabel", DROP = "drop";
  const CARD = 204, GAP = 10, HEAD = 52, NARROWEST = 124, BEYOND = 250;
  const gallery = document.getElementById("gallery");
  const element = (id) => document.getElementById(id);

  // Decisions, by the id of the image: [action, label].
  const store = `moue-audit ${name}`;
  let decisions = {};
  try { decisions = JSON.parse(localStorage.getItem(store)) ?? {}; } catch { /* Without storage, they last as long as the page. */ }
  const save = () => { try { localStorage.setItem(store, JSON.stringify(decisions)); } catch { /* as above */ } };
  // A decision of this page replaces the fix that is applied already.
  const decision = (item) => decisions[item[ID]];

  const thumbnail = thumbnails(data);

  // The rows: headings and lines of cards, with their places.
  let shown = [], rows = [], tops = [], height = 0, columns = 1, chosen = -1;
  const filter = () => {
    const [pair, kind, split, state] = ["pair", "kind", "split", "state"].map((id) => element(id).value);
    const words = element("search").value.trim().toLowerCase();
    return (item) => (pair === "" || item[GALLERY] === Number(pair))
      && (kind === "" || (item[KINDS] >> Number(kind)) & 1)
      && (split === "" || item[SPLIT] === Number(split))
      && (state === "" || (decision(item)?.[0] ?? "none") === state)
      && (words === "" || item[ID].toLowerCase().includes(words));
  };
  const layout = () => {
    columns = Math.max(2, Math.floor((gallery.clientWidth + GAP) / (NARROWEST + GAP)));
    gallery.style.setProperty("--columns", columns);
    rows = []; tops = []; height = 0;
    const add = (row, extent) => { rows.push(row); tops.push(height); height += extent; };
    for (let at = 0; at < shown.length;) {
      const own = items[shown[at]][GALLERY];
      let end = at;
      while (end < shown.length && items[shown[end]][GALLERY] === own) end += 1;
      add({ title: `${galleries[own]} (${end - at})` }, HEAD);
      for (; at < end; at += columns) add({ from: at, to: Math.min(at + columns, end) }, CARD + GAP);
      at = end;
    }
    gallery.style.height = `${height}px`;
  };

  const state = (item) => {
    const own = decision(item);
    if (own) return own[0] === RELABEL ? `relabel: ${own[1]}` : own[0];
    const [applied, from] = item[MARK] ?? [];
    if (applied) return applied === RELABEL ? `relabeled before (${from})` : "kept before";
    return "";
  };
  const paint = (card, item) => {
    const own = decision(item)?.[0] ?? "";
    card.className = `card ${own}${Number(card.dataset.at) === chosen ? " chosen" : ""}`;
    card.setAttribute("aria-selected", Number(card.dataset.at) === chosen);
    card.querySelector(".mark").textContent = state(item);
  };
  const card = (at) => {
    const index = shown[at], item = items[index];
    const made = make("div", "card");
    made.id = `card-${at}`;
    made.dataset.at = at;
    made.setAttribute("role", "option");
    made.appendChild(thumbnail(index));
    const label = item[SUGGESTED] < 0 ? classes[item[GIVEN]] : `${classes[item[GIVEN]]} → ${classes[item[SUGGESTED]]}`;
    made.appendChild(make("div", "line", label));
    made.appendChild(make("div", "line soft", item[ID]));
    made.appendChild(make("div", "line mark"));
    const acts = made.appendChild(make("div", "acts"));
    for (const action of [KEEP, RELABEL, DROP]) {
      const button = acts.appendChild(make("button", "", action));
      button.dataset.action = action;
      button.tabIndex = -1;
      if (action === RELABEL && item[SUGGESTED] < 0) button.disabled = true;
    }
    made.setAttribute("aria-label", `${label}, ${item[ID]}`);
    paint(made, item);
    return made;
  };

  // Draws the rows around the window, and removes all others.
  const drawn = new Map();
  const draw = () => {
    const top = window.scrollY - gallery.offsetTop - BEYOND, bottom = top + window.innerHeight + 2 * BEYOND;
    let low = 0, high = tops.length;
    while (low < high) { const middle = (low + high) >> 1; if (tops[middle] < top - CARD) low = middle + 1; else high = middle; }
    const wanted = new Set();
    for (let number = low; number < rows.length && tops[number] < bottom; number += 1) wanted.add(number);
    for (const [number, row] of drawn) if (!wanted.has(number)) { row.remove(); drawn.delete(number); }
    const fresh = document.createDocumentFragment();
    for (const number of wanted) {
      if (drawn.has(number)) continue;
      const { title, from, to } = rows[number];
      const row = title === undefined ? make("div", "row") : make("h3", "", title);
      row.style.top = `${tops[number]}px`;
      if (title === undefined) { row.setAttribute("role", "presentation"); for (let at = from; at < to; at += 1) row.appendChild(card(at)); }
      drawn.set(number, row);
      fresh.appendChild(row);
    }
    gallery.appendChild(fresh);
  };
  const count = () => {
    const tally = { [KEEP]: 0, [RELABEL]: 0, [DROP]: 0 };
    for (const [action] of Object.values(decisions)) tally[action] += 1;
    element("count").textContent = `${shown.length} of ${items.length} images; ${tally.keep} kept, ${tally.relabel} relabeled, ${tally.drop} dropped`;
  };
  const refresh = () => {
    const before = chosen >= 0 ? shown[chosen] : -1;
    const passes = filter();
    shown = [...items.keys()].filter((index) => passes(items[index]));
    chosen = shown.indexOf(before);
    layout();
    for (const row of drawn.values()) row.remove();
    drawn.clear();
    draw();
    count();
    describe();
  };

  // The chosen image.
  const describe = () => {
    const detail = element("about"), item = items[shown[chosen]];
    for (const id of ["keep", "relabel", "drop", "undo", "label"]) element(id).disabled = !item;
    if (!item) { detail.textContent = "Choose an image, or use the arrow keys."; return; }
    const found = kinds.filter((_, number) => (item[KINDS] >> number) & 1).join(", ");
    const confidence = item[CONFIDENCE] === null ? "" : `; probability of the label ${(item[CONFIDENCE] * 100).toFixed(1)} %`;
    detail.textContent = `${item[ID]} (${splits[item[SPLIT]]}): ${classes[item[GIVEN]]}; ${found}${confidence}; score ${item[SCORE].toFixed(3)} ${state(item)}`;
    element("label").value = String(Math.max(0, item[SUGGESTED] < 0 ? item[GIVEN] : item[SUGGESTED]));
  };
  const repaint = (at) => {
    const known = element(`card-${at}`);
    if (known) paint(known, items[shown[at]]);
  };
  const choose = (at, scrolls) => {
    const before = chosen;
    chosen = Math.max(0, Math.min(at, shown.length - 1));
    if (scrolls) {
      const row = rows.findIndex(({ from, to }) => from <= chosen && chosen < to);
      const top = gallery.offsetTop + tops[row], bar = element("bar").offsetHeight, detail = element("detail").offsetHeight;
      if (top < window.scrollY + bar) window.scrollTo(0, top - bar - GAP);
      else if (top + CARD > window.scrollY + window.innerHeight - detail) window.scrollTo(0, top + CARD + detail + GAP - window.innerHeight);
      draw();
    }
    repaint(before);
    repaint(chosen);
    gallery.setAttribute("aria-activedescendant", `card-${chosen}`);
    describe();
  };
  const decide = (action, label) => {
    const item = items[shown[chosen]];
    if (!item) return;
    if (action === null) delete decisions[item[ID]];
    else if (action === RELABEL) {
      if (label === undefined || label < 0) return;
      decisions[item[ID]] = label === item[GIVEN] ? [KEEP] : [RELABEL, classes[label]];
    } else decisions[item[ID]] = [action];
    save();
    repaint(chosen);
    count();
    describe();
  };

  // Fixes: those that are applied already, unless they are replaced, then the decisions of this page.
  const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const csv = () => {
    const line = (id, [action, label]) => `${quoted(id)},${action},${quoted(label ?? "")}\n`;
    const before = fixes.filter(([id]) => !(id in decisions)).map(([id, action, label]) => line(id, [action, label]));
    return `${key},action,label\n${before.join("")}${Object.entries(decisions).map(([id, own]) => line(id, own)).join("")}`;
  };
  const download = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    link.download = "fixes.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  gallery.addEventListener("click", (event) => {
    const own = event.target.closest(".card");
    if (!own) return;
    choose(Number(own.dataset.at), false);
    const action = event.target.dataset?.action;
    if (action) {
      const item = items[shown[chosen]];
      decide(decision(item)?.[0] === action ? null : action, item[SUGGESTED]);
    }
    gallery.focus({ preventScroll: true });
  });
  gallery.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || shown.length === 0) return;
    const page = Math.max(1, Math.floor(window.innerHeight / (CARD + GAP)) - 1) * columns;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: page, PageUp: -page };
    const letter = event.key.toLowerCase(), item = items[shown[chosen]];
    const number = Number(event.key);
    const next = () => choose(chosen + 1, true);
    if (event.key in steps) choose(chosen < 0 ? 0 : chosen + steps[event.key], true);
    else if (event.key === "Home") choose(0, true);
    else if (event.key === "End") choose(shown.length - 1, true);
    else if (!item) return;
    else if (letter === "k") { decide(KEEP); next(); }
    else if (letter === "d") { decide(DROP); next(); }
    else if (letter === "r") { if (item[SUGGESTED] < 0) element("label").focus(); else { decide(RELABEL, item[SUGGESTED]); next(); } }
    else if (letter === "u") decide(null);
    else if (number >= 1 && number <= classes.length) { decide(RELABEL, number - 1); next(); }
    else return;
    event.preventDefault();
  });
  element("keep").addEventListener("click", () => decide(KEEP));
  element("drop").addEventListener("click", () => decide(DROP));
  element("undo").addEventListener("click", () => decide(null));
  element("relabel").addEventListener("click", () => decide(RELABEL, Number(element("label").value)));
  element("export").addEventListener("click", download);
  for (const id of ["pair", "kind", "split", "state"]) element(id).addEventListener("change", refresh);
  element("search").addEventListener("input", refresh);
  const later = (work) => {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; work(); });
    };
  };
  window.addEventListener("scroll", later(draw), { passive: true });
  let width = 0;
  new ResizeObserver(later(() => { if (gallery.clientWidth !== width) { width = gallery.clientWidth; refresh(); } })).observe(gallery);
  refresh();
})();
