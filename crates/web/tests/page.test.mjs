// Tests of the page in a browser with the built program. `cargo test` runs them
// (crates/cli/tests/it/page.rs); to run them separately:
//   MOUE=../../target/release/moue MOUE_FACES=folder-of-faces MOUE_ARCH=net.toml MOUE_TEST_DATA=… npm test

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { agree, faces, launch, moue, predicted, serve } from "./shared.mjs";

const photos = process.env.MOUE_TEST_DATA && path.join(process.env.MOUE_TEST_DATA, "photos");
const work = mkdtempSync(path.join(tmpdir(), "moue-page-"));
const shots = process.env.MOUE_SHOTS;

let server;
let origin;
let browser;
let clip;

/** A new browser context; `requests` are all requests of the page. */
async function visit({ at = origin, ...options } = {}) {
  const context = await browser.newContext({ acceptDownloads: true, permissions: ["camera"], ...options });
  const page = await context.newPage();
  const requests = [];
  const errors = [];
  // From here on the browser hands choosers over, which takes it a moment.
  page.on("filechooser", () => undefined);
  context.on("request", (request) => requests.push(request));
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(at);
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
  clip = photos && cameraVideo(path.join(photos, "clip.mp4"));
  browser = await launch(clip ? [`--use-file-for-fake-video-capture=${clip}`] : []);
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
    assert.match(await page.locator(".face figcaption").textContent(), /^importance for “[a-z]+”01$/);
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

  test("the status names the model, and another one where the server has another", async () => {
    const { page, requests, context } = await visit();
    const where = page.locator("#where");
    assert.match(await where.textContent(), /in this browser with the model tiny \(accuracy 82\.\d % on 3186 validation images\)/);
    const light = () => where.evaluate((element) => getComputedStyle(element, "::before").color);
    const before = await light();
    await context.route("**/healthz", (route) => route.fulfill({ json: { status: "ok", model: "runs/a/model.safetensors", accuracy: null, accuracy_images: null } }));
    await page.reload();
    await page.locator("#where.ready").waitFor();
    await page.check("#server");
    assert.match(await where.textContent(), /sent to the server.* runs\/a\/model\.safetensors \(accuracy not recorded\).*changed from tiny to runs\/a/);
    assert.notEqual(await light(), before);
    await page.uncheck("#server");
    assert.match(await where.textContent(), /in this browser .*changed from runs\/a\/model\.safetensors to tiny/);
    assert.equal(await light(), before);
    assert.ok(requests.every((request) => !request.url().includes("favicon")));
    await context.close();
  });

  test("an exported page predicts with the exported model, also offline", async () => {
    const folder = path.join(work, "site");
    execFileSync(moue, ["serve", "--model", "default", "--export", folder, "--quiet"]);
    const site = await serve(folder);
    const { page, errors, context } = await visit({ at: site.origin });
    assert.match(await page.locator("#where").textContent(), /with the model default \(accuracy 84\.\d % on 3186/);
    assert.equal(await page.locator("#server").isVisible(), false);
    assert.deepEqual(errors, []);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await context.setOffline(true);
    await page.reload();
    await page.locator("#where.ready").waitFor();
    await page.uncheck("#detect");
    await drop(page, [faces[1]]);
    await done(page, 1);
    agree((await predictions(page))[0], predicted([faces[1]], "--no-detect", "--model", "default")[0]);
    await context.close();
    site.close();
  });

  test("the page states what it is waiting for while the model is loaded", async () => {
    const context = await browser.newContext({ serviceWorkers: "block" });
    const page = await context.newPage();
    let go;
    const asked = new Promise((resolve) => (go = resolve));
    await context.route("**/config.json", async (route) => {
      await asked;
      await route.continue();
    });
    await page.goto(origin);
    await page.getByText("The model is being loaded").waitFor();
    assert.equal(await page.getByText("Loading…").count(), 0);
    go();
    await page.locator("#where.ready").waitFor();
    await context.close();
  });

  test("a page without scripts states what is missing", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(origin);
    await page.locator(".late").waitFor();
    assert.match(await page.locator("#where").textContent(), /open it through a web server/);
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
