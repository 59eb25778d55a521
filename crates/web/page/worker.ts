// Runs the module off the page's thread: a question in, an answer out.

import type { Answer, Question } from "./compute.js";
import { load } from "./moue/index.js";

const tell = (answer: Answer) => self.postMessage(answer);
const reason = (error: unknown) => (error instanceof Error ? error.message : String(error));

const loading = load();
loading.then(
  (moue) => tell({ classes: [...moue.classes] }),
  (error: unknown) => tell({ failure: reason(error) }),
);

self.addEventListener("message", async ({ data }: MessageEvent<Question>) => {
  const { id, name, picture, detect, explain } = data;
  try {
    const prediction = await (await loading).predict(picture, { name, detect, explain });
    tell({ id, prediction });
  } catch (error) {
    tell({ id, failure: reason(error) });
  }
  if (picture instanceof ImageBitmap) {
    picture.close();
  }
});
