// Tests of the live page: curves follow the files of runs, several runs are overlaid, and the page ends with a training.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { launch, moue } from "./shared.mjs";

const work = mkdtempSync(path.join(tmpdir(), "moue-live-"));
const at = (name) => path.join(work, name);
const run = (...args) => execFileSync(moue, [...args, "--quiet"], { cwd: work, stdio: "ignore" });

let browser;

before(async () => {
  run("data", "draw", "faces", "--count", "140");
  run("train", process.env.MOUE_ARCH, "--data", "faces", "--epochs", "3", "--out", "runs/first");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  rmSync(work, { recursive: true, force: true });
});

/** Starts a command, and waits for the line of standard error that names the address of its page. */
async function start(...args) {
  const command = spawn(moue, args, { cwd: work, stdio: ["ignore", "ignore", "pipe"] });
  const ended = once(command, "exit");
  for await (const line of createInterface({ input: command.stderr })) {
    const address = line.match(/http:\/\/[\d.:]+/)?.[0];
    if (address) {
      command.stderr.resume();
      return { command, ended, address };
    }
  }
  throw new Error(`${args.join(" ")} has ended`);
}

async function open(url, options = {}) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
  const errors = [], requests = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error" && !message.location().url.endsWith("favicon.ico")) errors.push(message.text()); });
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(url);
  return { page, errors, requests };
}

const curves = (page, title) => page.locator(`svg[aria-label^="${title}"] .curve`);
const points = (curve) => curve.evaluate((line) => line.points.numberOfItems);
const shot = (page, name) => process.env.MOUE_SHOTS && page.screenshot({ path: path.join(process.env.MOUE_SHOTS, `live-${name}.png`), fullPage: true });

test("a curve grows with the file, and another run is drawn over it", async () => {
  const { command, ended, address } = await start("watch", "runs");
  const { page, errors, requests } = await open(address);
  await curves(page, "Accuracy").first().waitFor();
  assert.equal(await page.locator("svg").count(), 4);
  assert.equal(await curves(page, "Accuracy").count(), 2);
  assert.equal(await points(curves(page, "Accuracy").last()), 3);
  assert.equal(await page.locator("#state").textContent(), "nets/tiny: epoch 3/3");
  assert.match(await page.locator("#heading").textContent(), /epoch 3$/);

  const metrics = at("runs/first/metrics.jsonl"), last = JSON.parse(readFileSync(metrics, "utf8").trim().split("\n").at(-1));
  // A line without its end is not an epoch.
  const line = JSON.stringify({ ...last, epoch: 4, validation_accuracy: 1 });
  appendFileSync(metrics, line.slice(0, 20));
  appendFileSync(metrics, `${line.slice(20)}\n`);
  await page.waitForFunction(() => document.querySelector("#state").textContent.includes("4/3"));
  assert.equal(await points(curves(page, "Accuracy").last()), 4);
  assert.equal(await points(curves(page, "Learning rate")), 4);
  assert.equal(await page.locator("#runs td").nth(3).textContent(), "100.0 (4)");

  cpSync(at("runs/first"), at("runs/second"), { recursive: true });
  const validation = JSON.parse(readFileSync(at("runs/second/validation.json"), "utf8"));
  writeFileSync(at("runs/second/validation.json"), JSON.stringify({ ...validation, epoch: 7 }));
  await page.waitForFunction(() => document.querySelectorAll("#runs tbody tr").length === 2);
  assert.equal(await curves(page, "Accuracy").count(), 4);
  assert.equal(await page.locator("#state").textContent(), "2 runs");
  // By keyboard: the first run is hidden, and the predictions of the second are shown.
  await page.locator("#runs input").first().focus();
  await page.keyboard.press("Space");
  assert.equal(await curves(page, "Accuracy").count(), 2);
  await page.keyboard.press("Space");
  await page.locator("#which").selectOption("1");
  await page.waitForFunction(() => document.querySelector("#heading").textContent.endsWith("epoch 7"));
  assert.equal(await page.locator("#confusion tbody tr").count(), validation.labels.length);
  assert.equal(await page.locator("#samples img").count(), 16);
  assert.ok(await page.locator("#samples img").first().evaluate((image) => image.naturalWidth > 0));

  assert.deepEqual(requests.filter((url) => !url.startsWith(address) && !url.startsWith("data:")), []);
  command.kill("SIGINT");
  assert.equal((await ended)[0], 0);
  await page.waitForFunction(() => document.querySelector("#state").textContent.includes("has ended"));
  assert.deepEqual(errors.filter((error) => !error.includes("ERR_CONNECTION_REFUSED")), []);
  await page.close();
});

test("the page of a training ends with it", async () => {
  const { command, ended, address } = await start("train", process.env.MOUE_ARCH, "--data", "faces", "--epochs", "100000", "--out", "trained", "--watch");
  const { page, errors } = await open(address);
  await page.waitForFunction(() => document.querySelectorAll("svg").length === 4 && document.querySelector("#heading").textContent);
  command.kill("SIGINT");
  await page.waitForFunction(() => document.querySelector("#state").textContent.includes("has ended"));
  assert.equal((await ended)[0], 130);
  // The page has the last epoch.
  const epochs = readFileSync(at("trained/metrics.jsonl"), "utf8").trim().split("\n").length;
  assert.ok((await page.locator("#state").textContent()).startsWith(`nets/tiny: epoch ${epochs}/100000.`));
  assert.deepEqual(errors, []);
  await page.close();
});

for (const [width, colorScheme] of [[1280, "light"], [390, "light"], [390, "dark"], [1280, "dark"]]) {
  test(`the page as a file is readable at ${width} pixels, ${colorScheme}`, async () => {
    run("watch", "runs", "--out", "page.html");
    const { page, errors, requests } = await open(pathToFileURL(at("page.html")).href, { viewport: { width, height: 900 }, colorScheme });
    assert.deepEqual(requests.filter((url) => !url.startsWith("data:")), [pathToFileURL(at("page.html")).href]);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
    const [needed, given] = await page.locator(".scroll:has(#runs)").evaluate((box) => [box.scrollWidth, box.clientWidth]);
    assert.ok(needed <= given, `the table needs ${needed} of ${given} pixels`);
    assert.equal(await page.locator("svg").count(), 4);
    assert.equal(await page.locator("#samples img").count(), 16);
    const outside = await page.locator("svg").evaluateAll((all) => all.flatMap((svg) => {
      const { width, height } = svg.viewBox.baseVal;
      return [...svg.querySelectorAll("circle, polyline, text")].map((mark) => [mark, mark.getBBox()])
        .filter(([, box]) => box.x < 0 || box.y < 0 || box.x + box.width > width || box.y + box.height > height)
        .map(([mark]) => mark.outerHTML);
    }));
    assert.deepEqual(outside, []);
    assert.deepEqual(errors, []);
    await shot(page, `${width}-${colorScheme}`);
    await page.close();
  });
}

test("a run without an epoch is no error", async () => {
  run("train", process.env.MOUE_ARCH, "--data", "faces", "--epochs", "1", "--out", "new");
  for (const name of ["metrics.jsonl", "validation.json"]) rmSync(at(`new/${name}`));
  run("watch", "new", "--out", "new.html");
  const { page, errors } = await open(pathToFileURL(at("new.html")).href);
  assert.equal(await page.locator("#state").textContent(), "nets/tiny: no epoch is finished yet");
  assert.deepEqual([await page.locator("svg").count(), await page.locator("#last").isVisible()], [0, false]);
  assert.deepEqual(errors, []);
  await page.close();
});
