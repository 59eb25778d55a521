// moue in JavaScript: faces in a picture and what their expressions look like,
// computed where it is called. The work is WebAssembly's (moue_web.js); this file
// turns what JavaScript calls a picture into what that understands.
import init, { initSync, WebPredictor } from "./moue_web.js";
/** Loads the module once; then any number of pictures can be looked at. */
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
    /** The classes, in the order of their names. */
    classes;
    /** @internal */
    constructor(predictor) {
        this.#predictor = predictor;
        this.classes = predictor.classes;
    }
    /**
     * The faces in a picture. A file that is no picture is an answer with `error`. It
     * computes on the thread that calls it: in a page, call it from a Web Worker.
     */
    async predict(picture, options = {}) {
        const { detect = true, explain = false, name = "image" } = options;
        if (picture instanceof ArrayBuffer || picture instanceof Uint8Array || picture instanceof Blob) {
            const bytes = picture instanceof Blob ? await picture.arrayBuffer() : picture;
            return JSON.parse(this.#predictor.predictFile(name, new Uint8Array(bytes), detect, explain));
        }
        const { data, width, height } = isImageData(picture) ? picture : pixels(picture);
        return JSON.parse(this.#predictor.predictPixels(name, new Uint8Array(data), width, height, detect, explain));
    }
    /** Gives the memory back. */
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
        throw new Error("this browser gives no canvas to draw on");
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
