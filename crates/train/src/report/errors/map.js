// The map of the images: points on a canvas, a tip with the image, a circle and a lasso that list images.
(() => {
  const { data, thumbnail, title, votesOf, show, ID, SPLIT, LABEL, PREDICTED, LOSS } = evaluation;
  const element = (id) => document.getElementById(id);
  const canvas = element("map"), tip = element("tip");
  if (!canvas) return;
  const { classes, items, map, splits } = data;
  const MARGIN = 14, GRID = 4095, NEAR = 12, LISTED = 48, CLICK = 8;
  const context = canvas.getContext("2d");
  const evaluated = items[map.images[0]][SPLIT];
  let side = 0, points = [], chosen = new Set(), path = [], drawing = false, drawn = false, hovered = -1;
  // The circle, as shares of the side.
  const circle = { x: 0.5, y: 0.5, radius: 0.05, shown: false };

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const palette = () => {
    const [gray, one, other] = [style("--soft"), style("--a"), style("--b")];
    const color = (at) => `rgb(${data.colors[at % data.colors.length].join(" ")})`;
    const wrong = (item) => item[LABEL] !== item[PREDICTED];
    const training = splits[0];
    return {
      label: [(item) => color(item[LABEL]), classes.map((name, at) => [name, color(at)])],
      predicted: [(item) => color(item[PREDICTED]), classes.map((name, at) => [name, color(at)])],
      error: [(item) => (wrong(item) ? other : gray), [["correct", gray], ["error", other]]],
      split: [(item) => (item[SPLIT] === evaluated ? one : gray), [[splits[evaluated], one], [training, gray]]],
    }[element("color").value];
  };
  const layout = () => {
    side = canvas.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(side * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const own = map[element("method").value], scale = (side - 2 * MARGIN) / GRID;
    // The second coordinate increases upwards.
    points = map.images.map((_, at) => [MARGIN + own[2 * at] * scale, side - MARGIN - own[2 * at + 1] * scale]);
    draw();
  };
  const draw = () => {
    const [colorOf, names] = palette();
    context.clearRect(0, 0, side, side);
    const order = [...points.keys()];
    // Errors are above what is correct.
    if (element("color").value === "error") order.sort((one, other) => wrongness(one) - wrongness(other));
    for (const at of order) {
      const item = items[map.images[at]];
      context.globalAlpha = chosen.size && !chosen.has(at) ? 0.25 : 0.85;
      context.fillStyle = colorOf(item);
      context.beginPath();
      context.arc(...points[at], item[SPLIT] === evaluated ? 3 : 2, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    context.strokeStyle = style("--ink");
    context.lineWidth = 1.5;
    if (hovered >= 0) { context.beginPath(); context.arc(...points[hovered], 6, 0, 2 * Math.PI); context.stroke(); }
    if (circle.shown) { context.beginPath(); context.arc(circle.x * side, circle.y * side, circle.radius * side, 0, 2 * Math.PI); context.stroke(); }
    if (path.length > 1) { context.beginPath(); path.forEach(([x, y]) => context.lineTo(x, y)); context.closePath(); context.stroke(); }
    element("legend").replaceChildren(...names.map(([name, color]) => {
      const made = make("span", "", name);
      made.prepend(make("i"));
      made.firstChild.style.background = color;
      return made;
    }));
  };
  const wrongness = (at) => Number(items[map.images[at]][LABEL] !== items[map.images[at]][PREDICTED]);

  const nearest = (x, y, most) => {
    let best = -1, least = most * most;
    points.forEach(([px, py], at) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) [best, least] = [at, distance];
    });
    return best;
  };
  const describe = (at) => {
    const item = items[map.images[at]], votes = votesOf(item);
    return `${title(item)}; ${item[ID]} (${splits[item[SPLIT]]})${votes ? `; votes: ${votes}` : ""}`;
  };
  const list = (inside, what) => {
    chosen = new Set(inside);
    const worst = [...inside].sort((one, other) => items[map.images[other]][LOSS] - items[map.images[one]][LOSS] || one - other).slice(0, LISTED);
    const errors = inside.filter(wrongness).length;
    const more = worst.length < inside.length ? `; the ${worst.length} with the highest loss are shown` : "";
    show(element("lasso"), `${what}: ${inside.length} ${inside.length === 1 ? "image" : "images"}, ${errors} misclassified${more}`, worst.map((at) => map.images[at]));
    draw();
  };
  const inCircle = () => [...points.keys()].filter((at) => Math.hypot(points[at][0] - circle.x * side, points[at][1] - circle.y * side) <= circle.radius * side);
  const inPath = ([x, y]) => {
    let inside = false;
    path.forEach(([ax, ay], at) => {
      const [bx, by] = path[(at + 1) % path.length];
      if ((ay > y) !== (by > y) && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
    });
    return inside;
  };

  const hover = (event) => {
    const at = nearest(event.offsetX, event.offsetY, NEAR);
    if (at !== hovered) { hovered = at; draw(); }
    tip.hidden = at < 0;
    if (at < 0) return;
    tip.replaceChildren(thumbnail(map.images[at]), make("div", "", describe(at)));
    const [x, y] = points[at];
    tip.style.left = `${Math.max(0, Math.min(x + 12, side - 170))}px`;
    tip.style.top = `${y > side / 2 ? y - tip.offsetHeight - 12 : y + 12}px`;
  };
  canvas.addEventListener("pointermove", (event) => {
    if (!drawing) { hover(event); return; }
    path.push([event.offsetX, event.offsetY]);
    draw();
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; hovered = -1; if (!drawing) draw(); });
  canvas.addEventListener("pointerdown", (event) => {
    // A finger scrolls the page, and its tap lists the images around it.
    if (event.button !== 0 || event.pointerType === "touch") return;
    canvas.setPointerCapture(event.pointerId);
    [drawing, drawn, path, tip.hidden, circle.shown] = [true, false, [[event.offsetX, event.offsetY]], true, false];
  });
  canvas.addEventListener("pointerup", () => {
    if (!drawing) return;
    const inside = [...points.keys()].filter((at) => inPath(points[at]));
    [drawing, drawn, path] = [false, path.length > CLICK, []];
    if (drawn) list(inside, "Inside the line");
  });
  canvas.addEventListener("pointercancel", () => { [drawing, path] = [false, []]; draw(); });
  canvas.addEventListener("click", (event) => {
    if (drawn) { drawn = false; return; }
    Object.assign(circle, { x: event.offsetX / side, y: event.offsetY / side, shown: true });
    list(inCircle(), "Inside the circle");
  });
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.01 : 0.04;
    const [x, y] = { ArrowRight: [step, 0], ArrowLeft: [-step, 0], ArrowDown: [0, step], ArrowUp: [0, -step] }[event.key] ?? [0, 0];
    const factor = { "+": 1.25, "=": 1.25, "-": 0.8 }[event.key] ?? 1;
    if (event.key === "Enter") list(inCircle(), "Inside the circle");
    else if (event.key === "Escape") { chosen = new Set(); circle.shown = false; draw(); }
    else if (x || y || factor !== 1) {
      const within = (value) => Math.max(0, Math.min(1, value));
      Object.assign(circle, { x: within(circle.x + x), y: within(circle.y + y), shown: true });
      circle.radius = Math.max(0.01, Math.min(0.5, circle.radius * factor));
      hovered = nearest(circle.x * side, circle.y * side, circle.radius * side);
      element("near").textContent = `${inCircle().length} images in the circle${hovered < 0 ? "" : `; nearest: ${describe(hovered)}`}`;
      draw();
    } else return;
    event.preventDefault();
  });
  for (const id of ["method", "color"]) element(id).addEventListener("change", () => { hovered = -1; layout(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(() => { if (canvas.clientWidth !== side) layout(); }).observe(canvas);
})();
