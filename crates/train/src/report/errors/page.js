// The images of an evaluation: cards, lists of cards, and the cells of the confusion matrix.
const evaluation = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { classes, items, votes: voted, saliency, shape } = data;
  const ID = 0, SPLIT = 1, LABEL = 2, PREDICTED = 3, LOSS = 4, PROBABILITIES = 5, VOTES = 6, SALIENCY = 7;
  const thumbnail = thumbnails(data);
  const percent = (share) => `${(share * 100).toFixed(1)} %`;

  // Blue, green, yellow, red, as in saliency maps of predictions.
  const ramp = (value, from, to) => Math.max(0, Math.min(1, (value - from) / (to - from))) * 255;
  const heat = (value) => [ramp(value, 0.35, 0.65), ramp(value, 0.1, 0.4) - ramp(value, 0.65, 0.95), 255 - ramp(value, 0.3, 0.6)];

  /** The thumbnail in gray under its saliency map: a small canvas that is enlarged to the place of the image. */
  const overlay = (index) => {
    const [rows, columns] = saliency, made = thumbnail(index), canvas = make("canvas");
    made.classList.add("saliency");
    [canvas.width, canvas.height] = [columns, rows];
    const context = canvas.getContext("2d"), pixels = context.createImageData(columns, rows);
    [...items[index][SALIENCY]].forEach((digit, at) => pixels.data.set([...heat(parseInt(digit, 36) / 35), 255], 4 * at));
    context.putImageData(pixels, 0, 0);
    const longest = Math.max(shape[0], shape[1]);
    canvas.style.width = `${(96 * shape[1]) / longest}px`;
    canvas.style.height = `${(96 * shape[0]) / longest}px`;
    made.appendChild(canvas);
    return made;
  };

  const evaluated = items.length ? items[0][SPLIT] : 0;
  const splitOf = (item) => (item[SPLIT] === evaluated ? "" : ` (${data.splits[item[SPLIT]]})`);
  const title = (item) => (item[LABEL] === item[PREDICTED] ? `${classes[item[LABEL]]}, correct` : `${classes[item[LABEL]]} → ${classes[item[PREDICTED]]}`);
  const votesOf = (item) => {
    const counted = (item[VOTES] ?? []).map((count, at) => [count, voted[at]]).filter(([count]) => count > 0);
    return counted.sort((one, other) => other[0] - one[0]).map(([count, name]) => `${count} ${name}`).join(", ");
  };

  const card = (index, note) => {
    const item = items[index], made = make("figure", "card");
    const pictures = made.appendChild(make("div", "pictures"));
    pictures.appendChild(thumbnail(index));
    if (item[SALIENCY]) pictures.appendChild(overlay(index));
    made.appendChild(make("figcaption", "line", title(item)));
    made.appendChild(make("div", "line soft", `${item[ID]}${splitOf(item)}, loss ${item[LOSS].toFixed(2)}`));
    item[PROBABILITIES].forEach((p, at) => {
      const row = made.appendChild(make("div", at === item[LABEL] ? "row true" : "row"));
      row.appendChild(make("span", "", classes[at]));
      row.appendChild(make("i")).style.setProperty("--p", p);
      row.appendChild(make("span", "value", (p * 100).toFixed(0)));
    });
    if (note) made.appendChild(make("div", "note", note));
    const votes = votesOf(item);
    if (votes) made.appendChild(make("div", "note", `votes: ${votes}`));
    return made;
  };
  /** Shows images in an element, with a heading that is announced. */
  const show = (place, heading, indices, notes) => {
    if (!place.firstChild) {
      place.appendChild(make("p", "heading")).setAttribute("aria-live", "polite");
      place.appendChild(make("div", "cards"));
    }
    const [head, cards] = place.children;
    head.textContent = heading;
    cards.replaceChildren(...indices.map((index, at) => card(index, notes?.[at])));
  };
  const counted = (shown, of) => {
    if (shown === of) return `${of} ${of === 1 ? "image" : "images"}`;
    return `${of} images; the ${shown} with the highest loss are shown`;
  };

  // The confusion matrix and the pairs.
  const panel = document.getElementById("cell");
  const buttons = [...document.querySelectorAll("button[data-cell]")];
  for (const button of buttons) {
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const [label, predicted] = button.dataset.cell.split(",").map(Number);
      const [of, indices] = data.cells[label][predicted];
      for (const other of buttons) other.setAttribute("aria-pressed", other.dataset.cell === button.dataset.cell);
      show(panel, `${classes[label]} predicted as ${classes[predicted]}: ${counted(indices.length, of)}`, indices);
      if (!button.closest("#matrix")) panel.scrollIntoView({ block: "start" });
    });
  }
  document.getElementById("matrix").addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    const cell = event.target.closest("td");
    if (!step || !cell) return;
    event.preventDefault();
    const rows = cell.closest("tbody").rows;
    let [row, column] = [cell.parentNode.rowIndex - rows[0].rowIndex, cell.cellIndex];
    // Cells without images have no button and are skipped.
    do { row += step[0]; column += step[1]; } while (rows[row]?.cells[column] && !rows[row].cells[column].querySelector("button"));
    rows[row]?.cells[column]?.querySelector("button").focus();
  });

  const [of, worst] = data.loss;
  show(document.getElementById("loss"), of ? `Misclassified: ${counted(worst.length, of)}` : "No image is misclassified.", worst);

  const lists = [...document.querySelectorAll("button[data-list]")];
  for (const button of lists) {
    button.addEventListener("click", () => {
      const [count, indices, predicted, model] = data.disagreements[Number(button.dataset.list)];
      for (const other of lists) other.setAttribute("aria-pressed", other === button);
      const notes = predicted.map(([predictedClass, p]) => `${model}: ${classes[predictedClass]} ${percent(p)}`);
      show(document.getElementById("disagreement"), `${button.textContent}: ${counted(indices.length, count)}`, indices, notes);
    });
  }
  lists[0]?.click();
  return { data, thumbnail, title, votesOf, show, ID, SPLIT, LABEL, PREDICTED, LOSS };
})();
