// The time of a prediction in the browser: detection and classification of a photo scaled to 640 pixels, and of a camera
// frame (640x480, with the fast search, as the page predicts them), with the module of a built page.
//
//   node bench/page.mjs PHOTO [PAGE...]        PAGE is a folder such as crates/server/dist (default) or an older build
//
// Needs Chromium (CHROMIUM, or /usr/bin/chromium) and `npm ci --prefix crates/web`. Several pages are measured in
// alternation; the table shows medians in milliseconds.

import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const root = path.join(import.meta.dirname, "..");
const { chromium } = createRequire(path.join(root, "crates/web/package.json"))("playwright-core");
const [photo, ...given] = process.argv.slice(2);
const pages = given.length > 0 ? given : [path.join(root, "crates/server/dist")];
const ROUNDS = 5;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm", ".jpg": "image/jpeg" };

/** Serves the pages under their numbers, and the photo. */
const server = createServer((request, response) => {
  const [, number, ...rest] = request.url.split("/");
  const file = request.url === "/photo.jpg" ? photo : rest.length > 0 && path.join(pages[number], ...rest);
  try {
    const body = file ? readFileSync(file) : "<!doctype html>";
    response.setHeader("content-type", TYPES[path.extname(file || "index.html")] ?? "application/octet-stream");
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const origin = `http://127.0.0.1:${server.address().port}`;

/** Runs in the page: medians of predictions for the photo, and for the photo as a camera frame. */
const measure = async (number) => {
  const { load } = await import(`/${number}/moue/index.js`);
  const moue = await load();
  const bitmap = await createImageBitmap(await (await fetch("/photo.jpg")).blob());
  const scale = 640 / Math.max(bitmap.width, bitmap.height);
  const pixels = (width, height) => {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  };
  const time = async (picture, options) => {
    const times = [];
    let faces = 0;
    for (let turn = 0; turn < 25; turn += 1) {
      const start = performance.now();
      faces = (await moue.predict(picture, options)).faces.length;
      times.push(performance.now() - start);
    }
    return { faces, ms: times.sort((a, b) => a - b)[12] };
  };
  return {
    photo: await time(pixels(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale))),
    frame: await time(pixels(640, 480), { fast: true }),
  };
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
});
const results = pages.map(() => []);
for (let round = 0; round < ROUNDS; round += 1) {
  for (const number of pages.keys()) {
    const page = await browser.newPage();
    await page.goto(origin);
    results[number].push(await page.evaluate(measure, number));
    await page.close();
  }
}
await browser.close();
server.close();

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
console.log("| page | photo, ms | faces | frame, ms | frames/s |\n|---|---|---|---|---|");
results.forEach((rounds, number) => {
  const [photo, frame] = ["photo", "frame"].map((key) => median(rounds.map((round) => round[key].ms)));
  const { faces } = rounds[0].photo;
  console.log(`| ${pages[number]} | ${photo.toFixed(1)} | ${faces} | ${frame.toFixed(1)} | ${(1000 / frame).toFixed(1)} |`);
});
