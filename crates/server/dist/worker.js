// Runs the module in a Web Worker: receives questions, posts replies.
import { load } from "./moue/index.js";
const post = (answer) => self.postMessage(answer);
const reason = (error) => (error instanceof Error ? error.message : String(error));
const loading = load();
loading.then((moue) => post({ classes: [...moue.classes] }), (error) => post({ failure: reason(error) }));
self.addEventListener("message", async ({ data }) => {
    const { id, name, picture, detect, explain, minFace } = data;
    try {
        const prediction = await (await loading).predict(picture, { name, detect, explain, minFace });
        post({ id, prediction });
    }
    catch (error) {
        post({ id, failure: reason(error) });
    }
    if (picture instanceof ImageBitmap) {
        picture.close();
    }
});
