// A prediction on the page: boxes over the picture, and for each face its label and a
// bar for each class. Existing elements are updated, not replaced, so that bars are animated.
/** A new element with a class and a text. */
export function element(kind, className = "", text = "") {
    const made = document.createElement(kind);
    made.className = className;
    made.textContent = text;
    return made;
}
const percent = (share) => `${(100 * share).toFixed(0)} %`;
const title = (face, number, of) => `${of > 1 ? `${number + 1}: ` : ""}${face.label} ${percent(face.confidence)}${face.uncertain ? " (uncertain)" : ""}`;
/** A prediction as a sentence. */
export function sentence({ input, faces, error }) {
    if (error !== null) {
        return `${input}: ${error}`;
    }
    const said = faces.map((face, number) => title(face, number, faces.length)).join(", ");
    return `${input}: ${said || "no face found"}`;
}
/** Shows a prediction in a `.result`. */
export function show(result, prediction, detected) {
    const boxes = result.querySelector(".boxes");
    const faces = result.querySelector(".faces");
    if (boxes === null || faces === null) {
        return;
    }
    const { faces: found, error } = prediction;
    const none = detected ? "No face found. If the whole picture is a face, turn off “Detect faces”." : "No face.";
    boxes.replaceChildren(...(detected ? found.map((face, number) => box(prediction, face, number)) : []));
    faces.querySelector(":scope > p")?.remove();
    if (error !== null || found.length === 0) {
        faces.replaceChildren(element("p", error === null ? "" : "error", error ?? none));
        return;
    }
    while (faces.children.length > found.length) {
        faces.lastElementChild?.remove();
    }
    found.forEach((face, number) => {
        const place = faces.children[number] ?? faces.appendChild(panel(face));
        fill(place, face, title(face, number, found.length));
    });
    if (prediction.warning !== null) {
        faces.append(element("p", "", prediction.warning));
    }
}
/** A face's frame, in shares of the picture so that it fits at any size. */
function box({ width, height, faces }, face, number) {
    const frame = element("div", "box");
    const share = (part, whole) => `${(100 * part) / whole}%`;
    frame.style.left = share(face.box.x, width);
    frame.style.top = share(face.box.y, height);
    frame.style.width = share(face.box.width, width);
    frame.style.height = share(face.box.height, height);
    // Labels stay inside the picture.
    frame.classList.toggle("top", face.box.y < height / 10);
    frame.classList.toggle("right", face.box.x > width * 0.6);
    frame.append(element("span", "", title(face, number, faces.length)));
    return frame;
}
function panel(face) {
    const made = element("div", "face");
    const bars = element("dl", "bars");
    for (const label of Object.keys(face.probabilities)) {
        const bar = element("dd", "bar");
        bar.setAttribute("aria-hidden", "true");
        bar.append(element("i"));
        bars.append(element("dt", "", label), bar, element("dd", "percent"));
    }
    made.append(element("h3"), bars);
    return made;
}
function fill(place, face, heading) {
    place.querySelector("h3").textContent = heading;
    const [names, bars, numbers] = ["dt", ".bar i", ".percent"].map((part) => place.querySelectorAll(part));
    Object.entries(face.probabilities).forEach(([label, probability], index) => {
        names[index]?.classList.toggle("best", label === face.label);
        bars[index]?.style.setProperty("width", `${100 * probability}%`);
        numbers[index].textContent = percent(probability);
    });
    const before = place.querySelector("figure");
    if (face.explanation === undefined) {
        before?.remove();
        return;
    }
    const figure = before ?? map();
    const overlay = figure.querySelector("img");
    overlay.src = face.explanation;
    overlay.alt = `Saliency map of “${face.label}”: red is high, blue is low`;
    figure.querySelector("span").textContent = `importance for “${face.label}”`;
    place.prepend(figure);
}
/** A saliency map with its label and its scale. */
function map() {
    const figure = element("figure");
    const caption = element("figcaption");
    caption.append(element("span"), element("i", "scale"), element("small", "", "0"), element("small", "high", "1"));
    figure.append(element("img"), caption);
    return figure;
}
