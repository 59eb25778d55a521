// The page: `compute` predicts pictures, `view` shows predictions, `camera` provides
// frames, `save` writes files.
import { Camera } from "./camera.js";
import { Computer, serverModel } from "./compute.js";
import { csv, json, save } from "./save.js";
import { element, sentence, show } from "./view.js";
const get = (id) => document.getElementById(id);
const [detect, explain, server] = ["detect", "explain", "server"].map((id) => get(id));
const [where, said, live, cameraButton] = [get("where"), get("said"), get("live"), get("camera")];
const computer = new Computer();
const camera = new Camera(get("video"));
let entries = [];
let classes = [];
/** The models of the browser and of the server, as soon as they are known. */
let [own, remote] = [];
/** Why this browser cannot compute predictions. */
let failure;
const wanted = () => ({ detect: detect.checked, explain: explain.checked, fast: false, server: server.checked && remote !== undefined });
const reason = (error) => (error instanceof Error ? error.message : String(error));
function say(text) {
    said.append(element("span", "", `${text}. `));
    while (said.children.length > 20) {
        said.firstElementChild?.remove();
    }
}
const described = ({ name, accuracy, images }) => `the model ${name} (${accuracy === null ? "accuracy not recorded" : `accuracy ${(100 * accuracy).toFixed(1)} % on ${images} validation images`})`;
/** Where predictions are computed and with which model, as a class and a text. */
function state() {
    if (server.checked && remote !== undefined) {
        return ["server", `Pictures are sent to the server of this page, which predicts with ${described(remote)}.`];
    }
    if (own !== undefined) {
        return ["ready", `Predictions are computed in this browser with ${described(own)}. Pictures are not uploaded.`];
    }
    if (failure !== undefined) {
        const advice = remote === undefined ? "" : " Turn on “Compute on the server”.";
        return ["failed", `This browser cannot compute predictions (${failure}).${advice}`];
    }
    return ["", "Predictions are computed in this browser. The model is being loaded."];
}
function showWhere(change = "") {
    const [kind, text] = state();
    where.className = `where ${kind}`;
    where.textContent = text + change;
}
/** Announces the other model and predicts again with it. */
async function switchEngine() {
    const [from, to] = server.checked ? [own, remote] : [remote, own];
    const changed = from !== undefined && to !== undefined && from.name !== to.name;
    showWhere(changed ? ` The model has changed from ${from.name} to ${to.name}.` : "");
    await again();
}
/** Puts a picture on the page. */
function add(file) {
    const place = element("article", "result");
    const picture = element("div", "picture");
    const image = element("img");
    const url = URL.createObjectURL(file);
    image.src = url;
    image.alt = file.name;
    image.addEventListener("load", () => picture.classList.toggle("small", image.naturalWidth <= 96));
    // The browser cannot display the format, but the module may read it.
    image.addEventListener("error", () => {
        picture.className = "picture unshown";
        image.replaceWith("cannot be displayed");
    });
    picture.append(image, element("div", "boxes"));
    const faces = element("div", "faces");
    faces.append(element("p", "", "Predicting…"));
    place.append(element("h2", "", file.name), picture, faces);
    get("results").prepend(place);
    return { file, place, url };
}
async function predict(entry) {
    const asked = wanted();
    entry.place.setAttribute("aria-busy", "true");
    const failed = (error) => ({ input: entry.file.name, width: 0, height: 0, faces: [], warning: null, error: reason(error) });
    const prediction = await computer.predict(entry.file.name, entry.file, asked).catch(failed);
    entry.prediction = prediction;
    show(entry.place, prediction, asked.detect);
    entry.place.setAttribute("aria-busy", "false");
    get("downloads").hidden = false;
    say(sentence(prediction));
}
async function take(files) {
    const fresh = [...files].map(add);
    entries.push(...fresh);
    for (const entry of fresh) {
        await predict(entry);
    }
}
async function again() {
    for (const entry of [...entries]) {
        await predict(entry);
    }
}
function clear() {
    entries.forEach(({ place, url }) => {
        place.remove();
        URL.revokeObjectURL(url);
    });
    entries = [];
    get("downloads").hidden = true;
    say("Cleared");
}
function switchCamera(on) {
    cameraButton.setAttribute("aria-pressed", String(on));
    cameraButton.textContent = on ? "Turn off camera" : "Turn on camera";
    live.hidden = !on;
    if (!on) {
        camera.off();
    }
}
async function toggleCamera() {
    if (camera.on) {
        switchCamera(false);
        return;
    }
    switchCamera(true);
    try {
        await camera.run((frame) => computer.predict("camera", frame, { ...wanted(), fast: true }), (prediction) => show(live, prediction, wanted().detect));
    }
    catch (error) {
        switchCamera(false);
        const text = `The camera cannot be used: ${reason(error)}`;
        const note = element("p", "error", text);
        get("results").prepend(note);
        setTimeout(() => note.remove(), 15_000);
        say(text);
    }
}
function listen() {
    const files = get("files");
    files.addEventListener("change", () => {
        void take(files.files ?? []);
        files.value = "";
    });
    document.addEventListener("paste", ({ clipboardData }) => void take(clipboardData?.files ?? []));
    for (const kind of ["dragover", "dragleave", "drop"]) {
        document.addEventListener(kind, (event) => {
            event.preventDefault();
            get("drop").classList.toggle("over", kind === "dragover");
            if (kind === "drop") {
                void take(event.dataTransfer?.files ?? []);
            }
        });
    }
    [detect, explain].forEach((option) => option.addEventListener("change", () => void again()));
    server.addEventListener("change", () => void switchEngine());
    cameraButton.addEventListener("click", () => void toggleCamera());
    get("clear").addEventListener("click", clear);
    const done = () => entries.flatMap(({ prediction }) => prediction ?? []);
    get("json").addEventListener("click", () => save("expressions.json", "application/json", json(done())));
    get("csv").addEventListener("click", () => save("expressions.csv", "text/csv", csv(done(), classesOf(done()))));
}
/** The module's classes, or the server's. */
function classesOf(predictions) {
    const face = predictions.flatMap(({ faces }) => faces)[0];
    return face ? Object.keys(face.probabilities) : classes;
}
listen();
showWhere();
computer.ready.then((ready) => {
    ({ classes, model: own } = ready);
    showWhere();
}, (error) => {
    failure = reason(error);
    showWhere();
});
void serverModel().then((model) => {
    remote = model;
    get("server-option").hidden = model === undefined;
    showWhere();
});
if ("serviceWorker" in navigator) {
    // Without a service worker (private windows, plain HTTP) the page works, but not offline.
    navigator.serviceWorker.register("offline.js").catch(() => undefined);
}
