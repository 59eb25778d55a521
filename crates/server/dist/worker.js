// Runs the module in a Web Worker: receives questions, posts replies.
import { load } from "./moue/index.js";
const post = (answer) => self.postMessage(answer);
const reason = (error) => (error instanceof Error ? error.message : String(error));
/** Loads the model that `moue serve --export` has written, or the module's own. */
async function start() {
    const { model } = await (await get("config.json")).json();
    return model === null ? load() : load({ model: new Uint8Array(await (await get(model)).arrayBuffer()) });
}
async function get(file) {
    const response = await fetch(file);
    if (!response.ok) {
        throw new Error(`${file} cannot be loaded (status ${response.status})`);
    }
    return response;
}
const loading = start();
loading.then((moue) => post({ classes: [...moue.classes], model: moue.model }), (error) => post({ failure: reason(error) }));
self.addEventListener("message", async ({ data }) => {
    const { id, name, picture, detect, explain, fast } = data;
    try {
        const prediction = await (await loading).predict(picture, { name, detect, explain, fast });
        post({ id, prediction });
    }
    catch (error) {
        post({ id, failure: reason(error) });
    }
    if (picture instanceof ImageBitmap) {
        picture.close();
    }
});
