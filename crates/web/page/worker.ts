// Runs the module in a Web Worker: receives questions, posts replies.

import type { Reply, Question } from "./compute.js";
import { load, type Moue } from "./moue/index.js";

const post = (answer: Reply) => self.postMessage(answer);
const reason = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Loads the model that `moue serve --export` has written, or the module's own. */
async function start(): Promise<Moue> {
  const { model } = await (await get("config.json")).json();
  return model === null ? load() : load({ model: new Uint8Array(await (await get(model)).arrayBuffer()) });
}

async function get(file: string): Promise<Response> {
  const response = await fetch(file);
  if (!response.ok) {
    throw new Error(`${file} cannot be loaded (status ${response.status})`);
  }
  return response;
}

const loading = start();
loading.then(
  (moue) => post({ classes: [...moue.classes], model: moue.model }),
  (error: unknown) => post({ failure: reason(error) }),
);

self.addEventListener("message", async ({ data }: MessageEvent<Question>) => {
  const { id, name, picture, detect, explain, fast } = data;
  try {
    const prediction = await (await loading).predict(picture, { name, detect, explain, fast });
    post({ id, prediction });
  } catch (error) {
    post({ id, failure: reason(error) });
  }
  if (picture instanceof ImageBitmap) {
    picture.close();
  }
});
