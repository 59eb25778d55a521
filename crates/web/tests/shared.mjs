// What the tests of the page and of the package share.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { chromium } from "playwright-core";

export const moue = process.env.MOUE;
export const faces = readdirSync(process.env.MOUE_FACES).sort().map((name) => path.join(process.env.MOUE_FACES, name));

/** Chromium with a camera that shows a test pattern. */
export function launch(args = []) {
  const executablePath = execFileSync("which", [process.env.CHROMIUM ?? "chromium"], { encoding: "utf8" }).trim();
  const own = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"];
  return chromium.launch({ executablePath, args: [...own, ...args] });
}

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".json": "application/json", ".wasm": "application/wasm" };

/** A static host of a folder. */
export async function serve(folder) {
  const server = createServer((request, response) => {
    const name = new URL(request.url, "http://host").pathname;
    try {
      const content = readFileSync(path.join(folder, name.endsWith("/") ? `${name}index.html` : name));
      response.writeHead(200, { "content-type": TYPES[path.extname(name) || ".html"] ?? "application/octet-stream" }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { origin: `http://127.0.0.1:${server.address().port}/`, close };
}

/** Predictions of the command with the model `tiny`, or another one. */
export const predicted = (files, ...options) =>
  execFileSync(moue, ["predict", ...(options.includes("--model") ? [] : ["--model", "tiny"]), "--json", ...options, ...files], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
    .trim().split("\n").map((line) => JSON.parse(line));

/** Asserts that two predictions are equal, to 1e-3 in every probability. */
export function agree(here, there) {
  assert.deepEqual([here.width, here.height, here.error], [there.width, there.height, there.error]);
  assert.equal(here.faces.length, there.faces.length);
  here.faces.forEach((face, number) => {
    const other = there.faces[number];
    assert.deepEqual([face.box, face.label, face.uncertain], [other.box, other.label, other.uncertain]);
    for (const [label, probability] of Object.entries(other.probabilities)) {
      assert.ok(Math.abs(face.probabilities[label] - probability) < 1e-3, `${label}: ${face.probabilities[label]} ${probability}`);
    }
  });
}
