// Runs the module off the page's thread: a question in, an answer out.
import { load } from "./moue/index.js";
const tell = (answer) => self.postMessage(answer);
const reason = (error) => (error instanceof Error ? error.message : String(error));
const loading = load();
loading.then((moue) => tell({ classes: [...moue.classes] }), (error) => tell({ failure: reason(error) }));
self.addEventListener("message", async ({ data }) => {
    const { id, name, picture, detect, explain } = data;
    try {
        const prediction = await (await loading).predict(picture, { name, detect, explain });
        tell({ id, prediction });
    }
    catch (error) {
        tell({ id, failure: reason(error) });
    }
    if (picture instanceof ImageBitmap) {
        picture.close();
    }
});
