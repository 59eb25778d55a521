// moue in JavaScript: predicts the facial expressions in a picture on the calling thread. The
// computation is in WebAssembly (moue_web.js); this file converts JavaScript's pictures.
import init, { initSync, WebPredictor } from "./moue_web.js";
/** Loads the module and a model. The result predicts any number of pictures. */
export async function load({ module, model } = {}) {
    if (module instanceof WebAssembly.Module || module instanceof ArrayBuffer || ArrayBuffer.isView(module)) {
        initSync({ module });
    }
    else {
        await init(module === undefined ? undefined : { module_or_path: module });
    }
    return new Moue(new WebPredictor(model));
}
/** A predictor; see {@link load}. */
export class Moue {
    #predictor;
    /** The classes, in alphabetical order. */
    classes;
    /** The model. */
    model;
    /** @internal */
    constructor(predictor) {
        this.#predictor = predictor;
        this.classes = predictor.classes;
        this.model = { name: predictor.name, accuracy: predictor.accuracy ?? null, images: predictor.accuracyImages ?? null };
    }
    /**
     * Predicts the facial expressions in a picture. For a file that is not an image, the
     * prediction has an `error`. It runs on the calling thread: in a page, call it from a
     * Web Worker.
     */
    async predict(picture, options = {}) {
        const { detect = true, explain = false, fast = false, allowTruncated = false, name = "image" } = options;
        if (picture instanceof ArrayBuffer || picture instanceof Uint8Array || picture instanceof Blob) {
            const bytes = picture instanceof Blob ? await picture.arrayBuffer() : picture;
            const file = new Uint8Array(bytes);
            return JSON.parse(this.#predictor.predictFile(name, file, detect, explain, fast, allowTruncated));
        }
        const { data, width, height } = isImageData(picture) ? picture : pixels(picture);
        const rgba = new Uint8Array(data);
        return JSON.parse(this.#predictor.predictPixels(name, rgba, width, height, detect, explain, fast));
    }
    /** Frees the memory. */
    free() {
        this.#predictor.free();
    }
}
function isImageData(picture) {
    return "data" in picture && "width" in picture;
}
function pixels(picture) {
    const [width, height] = extent(picture);
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    if (context === null) {
        throw new Error("this browser does not support OffscreenCanvas with a 2d context");
    }
    context.drawImage(picture, 0, 0);
    return context.getImageData(0, 0, width, height);
}
function extent(picture) {
    if ("videoWidth" in picture) {
        return [picture.videoWidth, picture.videoHeight];
    }
    if ("naturalWidth" in picture) {
        return [picture.naturalWidth, picture.naturalHeight];
    }
    if ("displayWidth" in picture) {
        return [picture.displayWidth, picture.displayHeight];
    }
    return [Number(picture.width), Number(picture.height)];
}
