// Tests of the page in a browser with the built program. `cargo test` runs them
// (crates/cli/tests/it/page.rs); to run them separately:
//   MOUE=../../target/release/moue MOUE_FACES=folder-of-faces MOUE_TEST_DATA=… npm test

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";

const moue = process.env.MOUE;
const faces = readdirSync(process.env.MOUE_FACES).sort().map((name) => path.join(process.env.MOUE_FACES, name));
const photos = process.env.MOUE_TEST_DATA && path.join(process.env.MOUE_TEST_DATA, "photos");
const work = mkdtempSync(path.join(tmpdir(), "moue-page-"));
const shots = process.env.MOUE_SHOTS;

let server;
let origin;
let browser;
let clip;

const predicted = (files, ...options) =>
  execFileSync(moue, ["predict", "--model", "tiny", "--json", ...options, ...files], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
    .trim().split("\n").map((line) => JSON.parse(line));

/** Asserts that two predictions are equal, to 1e-3 in every probability. */
function agree(here, there) {
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

/** A new browser context; `requests` are all requests of the page. */
async function visit(options = {}) {
  const context = await browser.newContext({ acceptDownloads: true, permissions: ["camera"], ...options });
  const page = await context.newPage();
  const requests = [];
  const errors = [];
  // From here on the browser hands choosers over, which takes it a moment.
  page.on("filechooser", () => undefined);
  context.on("request", (request) => requests.push(request));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(origin);
  await page.locator("#where.ready").waitFor();
  return { context, page, requests, errors };
}

async function drop(page, files) {
  const contents = files.map((file) => [path.basename(file), readFileSync(file).toString("base64")]);
  const transfer = await page.evaluateHandle((contents) => {
    const transfer = new DataTransfer();
    for (const [name, base64] of contents) {
      transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
    }
    return transfer;
  }, contents);
  await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
}

const done = (page, count) =>
  page.waitForFunction((count) => document.querySelectorAll('#results [aria-busy="false"]').length === count, count);

/** The file that a button downloads. */
async function download(page, button) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return readFileSync(await file.path(), "utf8");
}

const predictions = async (page) => JSON.parse(await download(page, "#json"));

before(async () => {
  server = spawn(moue, ["serve", "--addr", "127.0.0.1:0", "--model", "tiny", "--json", "--quiet"], { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise((resolve) => server.stdout.once("data", (data) => resolve(String(data))));
  origin = `http://${JSON.parse(line).address}/`;
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"];
  clip = photos && cameraVideo(path.join(photos, "clip.mp4"));
  if (clip) {
    args.push(`--use-file-for-fake-video-capture=${clip}`);
  }
  browser = await chromium.launch({ executablePath: execFileSync("which", [process.env.CHROMIUM ?? "chromium"], { encoding: "utf8" }).trim(), args });
});

after(async () => {
  await browser?.close();
  server?.kill();
  rmSync(work, { recursive: true, force: true });
});

/** A video for the fake camera of Chromium; undefined without ffmpeg. */
function cameraVideo(clip) {
  const made = path.join(work, "camera.mjpeg");
  try {
    execFileSync("ffmpeg", ["-loglevel", "error", "-i", clip, "-t", "4", "-q:v", "3", "-f", "mjpeg", made]);
    return made;
  } catch {
    return undefined;
  }
}

describe("the page", { concurrency: false }, () => {
  test("predictions for faces equal those of the command, and nothing is uploaded", async () => {
    const { page, requests, errors, context } = await visit();
    await page.uncheck("#detect");
    await drop(page, faces);
    await done(page, faces.length);
    const found = await predictions(page);
    predicted(faces, "--no-detect").forEach((there, number) => agree(found[number], there));
    const table = await download(page, "#csv");
    assert.equal(table.trim().split("\n").length, faces.length + 1);
    assert.ok(table.startsWith("input,x,y,width,height,label,confidence,uncertain,score,angry,"), table.slice(0, 80));
    for (const request of requests) {
      assert.ok(request.url().startsWith(origin) || /^(blob|data):/.test(request.url()), request.url());
      assert.equal(request.method(), "GET");
    }
    assert.deepEqual(errors, []);
    await context.close();
  });

  test("bars, boxes and saliency maps are shown, and an unreadable file shows an error", async () => {
    const { page, context } = await visit();
    await page.uncheck("#detect");
    await page.check("#explain");
    await drop(page, [faces[0], import.meta.filename]);
    await done(page, 2);
    assert.match(await page.locator("article", { hasText: path.basename(faces[0]) }).locator("h3").textContent(), /^(uncertain|[a-z]+) \d+ %/);
    assert.equal(await page.locator(".bars dt").count(), 7);
    const widths = await page.locator(".bar i").evaluateAll((bars) => bars.map((bar) => parseFloat(bar.style.width)));
    assert.ok(Math.abs(widths.reduce((sum, width) => sum + width) - 100) < 0.1, String(widths));
    assert.ok(await page.locator(".face img").evaluate((image) => image.complete && image.naturalWidth > 48));
    assert.match(await page.locator("article .error").textContent(), /not a PNG/);
    assert.match(await page.locator("#said").textContent(), /not a PNG/);
    await page.uncheck("#explain");
    await page.locator(".face img").waitFor({ state: "detached" });
    await page.click("#clear");
    assert.equal(await page.locator("article").count(), 0);
    await context.close();
  });

  test("everything can be done from the keyboard", async () => {
    const { page, context } = await visit();
    const seen = [];
    for (let step = 0; step < 6; step++) {
      await page.keyboard.press("Tab");
      seen.push(await page.evaluate(() => document.activeElement.id));
      if (seen.at(-1) === "detect") {
        await page.keyboard.press("Space");
      }
    }
    for (const id of ["files", "camera", "detect", "explain", "server"]) {
      assert.ok(seen.includes(id), `${id} in ${seen}`);
    }
    assert.equal(await page.isChecked("#detect"), false);
    await page.focus("#files");
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.keyboard.press("Space")]);
    await chooser.setFiles(faces[1]);
    await done(page, 1);
    await page.focus("#clear");
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("article").count(), 0);
    await context.close();
  });

  test("the page works offline after the first visit", async () => {
    const { page, context } = await visit();
    await page.evaluate(() => navigator.serviceWorker.ready);
    await context.setOffline(true);
    await page.reload();
    await page.locator("#where.ready").waitFor();
    await page.uncheck("#detect");
    await drop(page, [faces[2]]);
    await done(page, 1);
    agree((await predictions(page))[0], predicted([faces[2]], "--no-detect")[0]);
    await context.close();
  });

  test("pictures are uploaded only for the option", async () => {
    const { page, requests, context } = await visit();
    await page.uncheck("#detect");
    await page.check("#server");
    assert.match(await page.locator("#where").textContent(), /sent to the server/);
    await drop(page, [faces[3]]);
    await done(page, 1);
    assert.equal(requests.filter((request) => request.method() === "POST").length, 1);
    agree((await predictions(page))[0], predicted([faces[3]], "--no-detect")[0]);
    await context.close();
  });

  test("predictions for photos equal those of the command", { skip: !photos && "SKIPPED: MOUE_TEST_DATA is not set to a folder" }, async () => {
    const files = ["couple.jpg", "no-face.jpg", "portrait-smile.jpg"].map((name) => path.join(photos, name));
    const { page, context } = await visit();
    await drop(page, files);
    await done(page, files.length);
    const found = await predictions(page);
    predicted(files).forEach((there, number) => agree(found[number], there));
    assert.deepEqual(found.map((answer) => answer.faces.length), [2, 0, 1]);
    assert.equal(await page.locator(".box").count(), 3);
    await context.close();
  });

  test("faces from the camera are predicted", { skip: !photos && "SKIPPED: MOUE_TEST_DATA is not set to a folder" }, async (t) => {
    if (!clip) {
      t.skip("SKIPPED: there is no ffmpeg");
      return;
    }
    const { page, requests, context } = await visit();
    await page.click("#camera");
    await page.locator("#live .box").first().waitFor();
    await page.locator("#live .face h3").first().waitFor();
    await page.click("#camera");
    assert.equal(await page.locator("#live").isHidden(), true);
    assert.ok(requests.every((request) => request.method() === "GET"));
    await context.close();
  });
});

test("the package works in Node", async () => {
  const folder = path.join(import.meta.dirname, "../../server/dist/moue");
  const { load } = await import(path.join(folder, "index.js"));
  const engine = await load({ module: readFileSync(path.join(folder, "moue_web_bg.wasm")) });
  assert.deepEqual(engine.classes.length, 7);
  agree(await engine.predict(readFileSync(faces[4]), { detect: false }), predicted([faces[4]], "--no-detect")[0]);
  await assert.rejects(load({ model: new Uint8Array(8), module: readFileSync(path.join(folder, "moue_web_bg.wasm")) }));
});

test("screenshots of the page", { skip: !shots }, async () => {
  for (const [width, height] of [[1280, 900], [390, 844]]) {
    for (const colorScheme of ["light", "dark"]) {
      const { page, context } = await visit({ viewport: { width, height }, colorScheme });
      await page.uncheck("#detect");
      await page.check("#explain");
      await drop(page, faces.slice(0, 2));
      await done(page, 2);
      if (photos) {
        await page.check("#detect");
        await drop(page, [path.join(photos, "couple.jpg")]);
        await done(page, 3);
      }
      await page.screenshot({ path: path.join(shots, `${width}-${colorScheme}.png`), fullPage: true });
      await context.close();
    }
  }
});
