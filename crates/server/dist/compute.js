// Computes predictions: in a Web Worker with the WebAssembly module, so that the page
// stays responsive, or on the server, if the visitor selects that.
export class Computer {
    #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    #waiting = new Map();
    #last = 0;
    /** Classes and model, as soon as the module is loaded. */
    ready;
    constructor() {
        this.ready = new Promise((resolve, reject) => {
            this.#worker.addEventListener("error", (event) => reject(new Error(event.message || "the worker did not start")));
            this.#worker.addEventListener("message", ({ data }) => {
                if ("classes" in data) {
                    resolve(data);
                }
                else if (data.id === undefined) {
                    reject(new Error("failure" in data ? data.failure : ""));
                }
                else {
                    this.#finish(data.id, data);
                }
            });
        });
    }
    #finish(id, reply) {
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        if ("prediction" in reply) {
            waiting?.resolve(reply.prediction);
        }
        else {
            waiting?.reject(new Error(reply.failure));
        }
    }
    /** The prediction for a file or a camera's frame; the frame is transferred to the worker. */
    async predict(name, picture, wanted) {
        const { detect, explain, fast, server } = wanted;
        if (server) {
            return ask(name, picture, detect, explain);
        }
        await this.ready;
        const id = ++this.#last;
        const reply = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
        const question = { id, name, picture, detect, explain, fast };
        this.#worker.postMessage(question, picture instanceof ImageBitmap ? [picture] : []);
        return reply;
    }
}
async function ask(name, picture, detect, explain) {
    const body = picture instanceof Blob ? picture : await file(picture);
    const reply = await fetch(`v1/predict?detect=${detect}&explain=${explain}`, { method: "POST", body });
    const said = await reply.json().catch(() => ({ detail: `the server returned status ${reply.status} without details; is it a moue server?` }));
    if (!reply.ok) {
        throw new Error(said.detail ?? `the server returned status ${reply.status}`);
    }
    return { ...said, input: name };
}
/** The server's model; undefined on a static host, or without a network. */
export async function serverModel() {
    try {
        const { server } = await (await fetch("config.json")).json();
        if (server) {
            const { model, accuracy, accuracy_images } = await (await fetch("healthz")).json();
            return { name: model, accuracy, images: accuracy_images };
        }
    }
    catch {
        // The page works without a server.
    }
    return undefined;
}
/** A frame as a file. */
async function file(frame) {
    const canvas = new OffscreenCanvas(frame.width, frame.height);
    canvas.getContext("2d")?.drawImage(frame, 0, 0);
    frame.close();
    return canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
}
