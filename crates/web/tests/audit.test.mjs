// Tests of the page of an audit: lazy thumbnails, scrolling, decisions by keyboard, and their export.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { launch, moue } from "./shared.mjs";

const work = mkdtempSync(path.join(tmpdir(), "moue-audit-"));
const MANY = 30000;

let browser;
const at = (name) => pathToFileURL(path.join(work, name)).href;

before(async () => {
  const run = (...args) => execFileSync(moue, [...args, "--quiet"], { cwd: work, stdio: "ignore" });
  for (const [name, count] of [["few", "140"], ["many", "2100"]]) {
    run("data", "draw", name, "--count", count);
    run("data", "audit", name, "--arch", process.env.MOUE_ARCH, "--folds", "2", "--epochs", "1", "--out", `${name}-audit`);
  }
  // The page with its images repeated.
  const page = readFileSync(path.join(work, "many-audit/audit.html"), "utf8");
  const [start, end] = ['<script id="data" type="application/json">', "</script>"];
  const first = page.indexOf(start) + start.length;
  const data = JSON.parse(page.slice(first, page.indexOf(end, first)));
  const own = data.items;
  data.items = Array.from({ length: MANY }, (_, number) => own[number % own.length].with(0, `image-${number}`))
    .sort((one, other) => one[7] - other[7]);
  data.sheets = Array.from({ length: Math.ceil(MANY / data.columns ** 2) }, (_, number) => data.sheets[number % data.sheets.length]);
  const text = JSON.stringify(data).replaceAll("<", "\\u003c");
  writeFileSync(path.join(work, "many-audit/huge.html"), page.slice(0, first) + text + page.slice(page.indexOf(end, first)));
  browser = await launch();
});

after(async () => {
  await browser?.close();
  rmSync(work, { recursive: true, force: true });
});

async function open(name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  const errors = [], requests = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(at(name));
  await page.locator(".card").first().waitFor();
  return { page, errors, requests, close: () => context.close() };
}

async function exported(page) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#export").click()]);
  assert.equal(download.suggestedFilename(), "fixes.csv");
  return readFileSync(await download.path(), "utf8");
}

test("an audit of few images is one file", async () => {
  assert.ok(!readdirSync(path.join(work, "few-audit")).includes("audit-assets"));
  const { page, errors, requests, close } = await open("few-audit/audit.html");
  await page.waitForTimeout(200);
  assert.deepEqual(requests.filter((url) => !url.startsWith("blob:")), [at("few-audit/audit.html")]);
  const thumb = await page.locator(".thumb").first().evaluate((own) => getComputedStyle(own).backgroundImage);
  assert.ok(thumb.startsWith('url("blob:'), thumb);
  assert.deepEqual(errors, []);
  await close();
});

test("thumbnails are loaded when they are visible", async () => {
  const sheets = readdirSync(path.join(work, "many-audit/audit-assets"));
  const { page, requests, close } = await open("many-audit/audit.html");
  await page.waitForTimeout(300);
  const loaded = () => new Set(requests.filter((url) => url.endsWith(".png"))).size;
  const begun = loaded();
  assert.ok(sheets.length >= 5 && begun >= 1 && begun < sheets.length, `${begun} of ${sheets.length}`);
  await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
  await page.waitForTimeout(300);
  assert.ok(loaded() > begun && loaded() < sheets.length, `${loaded()} of ${sheets.length}`);
  assert.ok((await page.locator(".card").count()) < 200, "only visible cards exist");
  await close();
});

test(`of ${MANY} images only the visible ones are drawn`, async () => {
  const { page, errors, close } = await open("many-audit/huge.html");
  assert.ok((await page.locator("#count").textContent()).startsWith(`${MANY} of ${MANY} images`));
  // The time of a frame depends on the number of cards: `bench/frames.mjs` measures it.
  const most = await page.evaluate(async () => {
    let cards = 0;
    for (let frame = 0; frame < 60; frame += 1) {
      // Slowly, quickly, and in jumps.
      window.scrollBy(0, frame < 20 ? 120 : frame < 40 ? 2500 : 40000);
      await new Promise(requestAnimationFrame);
      cards = Math.max(cards, document.querySelectorAll(".card").length);
    }
    return cards;
  });
  assert.ok(most > 0 && most < 200, `${most} cards`);
  // The same position shows the same cards as a page that was opened there.
  const shown = await page.locator(".card").first().getAttribute("aria-label");
  assert.match(shown, /image-\d+/);
  assert.deepEqual(errors, []);
  await close();
});

test("images are decided by keyboard, and decisions are kept and exported", async () => {
  const { page, errors, close } = await open("few-audit/audit.html");
  const ids = await page.evaluate(() => JSON.parse(document.getElementById("data").textContent).items.map((item) => item[0]));
  const name = await page.evaluate(() => JSON.parse(document.getElementById("data").textContent).classes[2]);
  await page.locator("#gallery").focus();
  for (const key of ["ArrowRight", "k", "r", "d", "3"]) await page.keyboard.press(key);
  assert.match(await page.locator("#count").textContent(), /1 kept, 2 relabeled, 1 dropped|2 kept, 1 relabeled, 1 dropped/);
  // The chosen card is the next one, and described.
  assert.ok((await page.locator("#about").textContent()).startsWith(ids[4]));
  assert.equal(await page.locator(".card.chosen").count(), 1);
  const csv = (await exported(page)).trimEnd().split("\n");
  assert.equal(csv[0], "file,action,label");
  assert.equal(csv[1], `${ids[0]},keep,`);
  assert.match(csv[2], new RegExp(`^${ids[1]},relabel,[a-z]+$`));
  assert.equal(csv[3], `${ids[2]},drop,`);
  assert.ok([`${ids[3]},relabel,${name}`, `${ids[3]},keep,`].includes(csv[4]), csv[4]);
  await page.reload();
  await page.locator(".card").first().waitFor();
  assert.equal(await page.locator(".card.drop").count(), 1);
  await page.locator("#state").selectOption("drop");
  assert.equal(await page.locator(".card").count(), 1);
  await page.locator(".card button[data-action=drop]").click();
  assert.match(await page.locator("#count").textContent(), /0 dropped/);
  // The command takes what the page exports.
  writeFileSync(path.join(work, "fixes.csv"), await exported(page));
  execFileSync(moue, ["train", process.env.MOUE_ARCH, "--data", "few", "--fixes", "fixes.csv", "--epochs", "1", "--quiet"], { cwd: work, stdio: "ignore" });
  assert.deepEqual(errors, []);
  await close();
});

test("filters select galleries, kinds and files", async () => {
  const { page, close } = await open("many-audit/audit.html");
  const count = async () => Number((await page.locator("#count").textContent()).split(" ")[0]);
  const all = await count();
  const values = await page.locator("#pair option").evaluateAll((own) => own.map((option) => option.value).filter(Boolean));
  let sum = 0;
  for (const value of values) {
    await page.locator("#pair").selectOption(value);
    sum += await count();
  }
  assert.equal(sum, all);
  await page.locator("#pair").selectOption("");
  await page.locator("#search").fill("no such file");
  assert.equal(await count(), 0);
  await page.locator("#search").fill("face-0");
  assert.ok((await count()) > 0);
  await close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`the page is readable at phone width, ${colorScheme}`, async () => {
    const { page, close } = await open("many-audit/audit.html", { viewport: { width: 390, height: 800 }, colorScheme });
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
    const boxes = await page.locator(".row").first().locator(".card").evaluateAll((cards) => cards.map((card) => card.getBoundingClientRect().width));
    assert.ok(boxes.length >= 2 && boxes.every((width) => width >= 110), boxes.join(" "));
    const [paper, ink] = await page.locator(".card").first().evaluate((card) => {
      const light = (color) => color.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765;
      const style = getComputedStyle(card);
      return [light(style.backgroundColor), light(style.color)];
    });
    assert.ok(colorScheme === "dark" ? ink - paper > 0.6 : paper - ink > 0.6, `${paper} ${ink}`);
    await page.locator(".card button[data-action=keep]").first().click();
    assert.match(await page.locator("#count").textContent(), /1 kept/);
    if (process.env.MOUE_SHOTS) await page.screenshot({ path: path.join(process.env.MOUE_SHOTS, `audit-${colorScheme}.png`) });
    await close();
  });
}
