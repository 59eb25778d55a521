// Tests of the page of an evaluation: cells, pairs, disagreements, slices and the map, with mouse and keyboard.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { launch, moue } from "./shared.mjs";

const work = mkdtempSync(path.join(tmpdir(), "moue-evaluation-"));

let browser, document;
const at = (name) => pathToFileURL(path.join(work, name)).href;

before(async () => {
  const run = (...args) => execFileSync(moue, [...args, "--quiet"], { cwd: work, stdio: "ignore" });
  run("data", "draw", "few", "--count", "420");
  run("train", process.env.MOUE_ARCH, "--data", "few", "--epochs", "1", "--out", "one");
  run("train", process.env.MOUE_ARCH, "--data", "few", "--epochs", "3", "--seed", "5", "--out", "other");
  // Votes on the images of the test split: most for the folder, some for the next class.
  const classes = readdirSync(path.join(work, "few/test")).sort();
  const rows = classes.flatMap((name, number) => readdirSync(path.join(work, "few/test", name)).map((file, index) => {
    const counts = classes.map((_, column) => (column === number ? 5 + (index % 5) : column === (number + 1) % classes.length ? 5 - (index % 5) : 0));
    return `test/${name}/${file},${counts.join(",")},0,0`;
  }));
  writeFileSync(path.join(work, "votes.csv"), `path,${classes.join(",")},unknown,NF\n${rows.join("\n")}\n`);
  run("evaluate", "one", "--data", "few", "--split", "test", "--votes", "votes.csv", "--compare", "other", "--report", "small");
  document = JSON.parse(readFileSync(path.join(work, "small/evaluation.json"), "utf8"));
  // Enough images for thumbnails in files.
  run("data", "draw", "many", "--count", "3000");
  run("evaluate", "one", "--data", "many", "--split", "train", "--report", "large");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  rmSync(work, { recursive: true, force: true });
});

async function open(name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const errors = [], requests = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(at(name));
  await page.locator("#loss .card").first().waitFor();
  return { page, errors, requests: () => requests.filter((url) => !url.startsWith("blob:")), close: () => context.close() };
}

const heading = (page, id) => page.locator(`#${id} .heading`).textContent();

/** The cell with the most errors: its label, predicted class and number of images. */
function confused() {
  const cells = document.confusion.flatMap((row, label) => row.map((count, predicted) => ({ label, predicted, count })));
  return cells.filter(({ label, predicted }) => label !== predicted).sort((one, other) => other.count - one.count)[0];
}

test("a cell opens its images with mouse and keyboard", async () => {
  const { page, errors, requests, close } = await open("small/report.html");
  const { label, predicted, count } = confused();
  const name = ([from, to]) => `${document.labels[from]} predicted as ${document.labels[to]}`;
  await page.locator(`#matrix button[data-cell="${label},${predicted}"]`).click();
  assert.ok((await heading(page, "cell")).startsWith(`${name([label, predicted])}: ${count} image`));
  const cards = page.locator("#cell .card");
  assert.equal(await cards.count(), Math.min(24, count));
  assert.equal(await cards.first().locator("figcaption").textContent(), `${document.labels[label]} → ${document.labels[predicted]}`);
  // The image with the highest loss is the first, with a saliency map, all probabilities and its votes.
  const losses = (await cards.locator(".soft").allTextContents()).map((text) => Number(text.split("loss ")[1]));
  assert.deepEqual(losses, losses.toSorted((one, other) => other - one));
  assert.equal(await cards.first().locator(".saliency canvas").count(), 1);
  assert.equal(await cards.first().locator(".row").count(), document.labels.length);
  assert.match(await cards.first().locator(".note").textContent(), /^votes: \d+ /);
  // Arrow keys move over cells without images, Enter opens.
  const filled = document.confusion.flatMap((row, other) => (row[predicted] > 0 && other !== label ? [other] : []));
  const below = filled.find((other) => other > label);
  await page.keyboard.press(below === undefined ? "ArrowUp" : "ArrowDown");
  await page.keyboard.press("Enter");
  assert.ok((await heading(page, "cell")).startsWith(name([below ?? filled.at(-1), predicted])), await heading(page, "cell"));
  assert.deepEqual(errors, []);
  assert.deepEqual(requests(), [at("small/report.html")]);
  await close();
});

test("pairs, the highest losses and disagreements show images", async () => {
  const { page, errors, close } = await open("small/report.html");
  const wrong = document.n - document.confusion.reduce((sum, row, label) => sum + row[label], 0);
  assert.ok((await heading(page, "loss")).startsWith(`Misclassified: ${wrong} images`));
  assert.equal(await page.locator("#loss .card").count(), Math.min(48, wrong));
  const { count } = confused();
  const pair = page.locator("button[data-cell]:not(.cell)").first();
  assert.equal(await pair.textContent(), String(count));
  await pair.click();
  assert.match(await heading(page, "cell"), new RegExp(`: ${count} image`));
  const { only_first: first, only_second: second } = document.compare[0].paired;
  assert.match(await heading(page, "disagreement"), new RegExp(`\\(${first}\\): ${first} image`));
  await page.locator("button[data-list]").nth(1).click();
  assert.match(await heading(page, "disagreement"), new RegExp(`\\(${second}\\): ${second} image`));
  assert.equal(await page.locator("#disagreement .card").count(), Math.min(48, second));
  if (second) {
    const [title, note] = [page.locator("#disagreement figcaption"), page.locator("#disagreement .note")];
    const [label] = (await title.first().textContent()).split(" → ");
    assert.match(await note.first().textContent(), new RegExp(`^other: ${label} \\d`));
  }
  assert.deepEqual(errors, []);
  await close();
});

test("slices and votes on errors are those of the JSON", async () => {
  const { page, close } = await open("small/report.html");
  const text = await page.locator("body").innerText();
  assert.ok(document.slices.length >= 15, String(document.slices.length));
  const rows = await page.locator("table:has(th[scope=rowgroup]) tbody tr:has(td)").evaluateAll((own) => own.map((row) => [...row.cells].map((cell) => cell.textContent)));
  assert.deepEqual(rows.map((row) => [row[2], row[3]]), document.slices.map((slice) => [String(slice.n), (slice.accuracy * 100).toFixed(1)]));
  const { errors: wrong, correct } = document.error_votes;
  assert.ok(text.includes(`errors (n = ${wrong.n})`) && text.includes(`correct (n = ${correct.n})`));
  assert.equal(wrong.n + correct.n, document.n);
  assert.ok(text.includes("Holm 1979") && !text.includes("NaN"));
  await close();
});

test("a lasso, a click and the keyboard list images of the map", async () => {
  const { page, errors, close } = await open("small/report.html");
  const map = page.locator("#map");
  await map.scrollIntoViewIfNeeded();
  const box = await map.boundingBox();
  const [centerX, centerY] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(centerX + box.width * 0.49, centerY);
  await page.mouse.down();
  for (let step = 1; step <= 32; step += 1) {
    const angle = (step / 32) * 2 * Math.PI;
    await page.mouse.move(centerX + box.width * 0.49 * Math.cos(angle), centerY + box.width * 0.49 * Math.sin(angle));
  }
  await page.mouse.up();
  const number = async () => Number((await heading(page, "lasso")).match(/: (\d+) image/)[1]);
  const inside = await number();
  const shown = await page.evaluate(() => JSON.parse(document.getElementById("data").textContent).map.images.length);
  assert.ok(inside > shown / 2 && inside <= shown, `${inside} of ${shown}`);
  assert.equal(await page.locator("#lasso .card").count(), Math.min(48, inside));
  // A circle of the keyboard, as large as the map, has more images than a small one; Enter lists them.
  await map.focus();
  for (let press = 0; press < 12; press += 1) await page.keyboard.press("+");
  const near = Number((await page.locator("#near").textContent()).split(" ")[0]);
  await page.keyboard.press("Enter");
  assert.equal(await number(), near);
  assert.ok(near > shown / 2, `${near} of ${shown}`);
  for (let press = 0; press < 12; press += 1) await page.keyboard.press("-");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  assert.ok((await number()) < near);
  // Every method and color draws the points; the color under a point is that of the legend.
  for (const method of ["pca", "tsne"]) {
    await page.locator("#method").selectOption(method);
    for (const color of ["predicted", "error", "split", "label"]) await page.locator("#color").selectOption(color);
  }
  assert.equal(await page.locator("#legend span").count(), document.labels.length);
  const drawn = await map.evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let pixel = 3; pixel < data.length; pixel += 4) count += data[pixel] > 60;
    return count;
  });
  assert.ok(drawn > shown * 5, `${drawn} pixels`);
  // The tip shows the image under the mouse.
  const place = await page.evaluate(() => {
    const { map: { tsne } } = JSON.parse(document.getElementById("data").textContent);
    const side = document.getElementById("map").clientWidth, scale = (side - 28) / 4095;
    return [14 + tsne[0] * scale, side - 14 - tsne[1] * scale];
  });
  await map.hover({ position: { x: place[0], y: place[1] } });
  assert.ok(await page.locator("#tip .thumb").isVisible());
  assert.match(await page.locator("#tip").textContent(), /test|train/);
  assert.deepEqual(errors, []);
  await close();
});

test("thumbnails of many images are files that are loaded when they are needed", async () => {
  const sheets = readdirSync(path.join(work, "large/report-assets"));
  assert.ok(!readdirSync(path.join(work, "small")).includes("report-assets"));
  const { page, errors, requests, close } = await open("large/report.html");
  await page.waitForTimeout(300);
  const loaded = () => new Set(requests().filter((url) => url.endsWith(".png"))).size;
  assert.ok(sheets.length >= 14 && loaded() >= 1 && loaded() < sheets.length, `${loaded()} of ${sheets.length}`);
  assert.ok(requests().every((url) => url.startsWith(at("large/"))), requests().join(" "));
  // There is one split only.
  assert.equal(await page.locator("#color option").count(), 3);
  assert.deepEqual(errors, []);
  await close();
});

for (const [width, colorScheme] of [[1280, "light"], [1280, "dark"], [390, "light"], [390, "dark"]]) {
  test(`the page is readable at ${width} pixels, ${colorScheme}`, async () => {
    const { page, close } = await open("small/report.html", { viewport: { width, height: 900 }, colorScheme });
    const { label, predicted } = confused();
    await page.locator(`#matrix button[data-cell="${label},${predicted}"]`).click();
    await page.locator("#map").focus();
    for (const key of ["+", "+", "Enter"]) await page.keyboard.press(key);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
    for (const selector of ["#cell .card", "#matrix button.cell", ".choices button", "#color"]) {
      const [paper, ink] = await page.locator(selector).first().evaluate((own) => {
        const light = (color) => color.match(/[\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765;
        const style = getComputedStyle(own);
        const opaque = (node) => (/, 0\)$/.test(getComputedStyle(node).backgroundColor) ? opaque(node.parentElement) : node);
        return [light(getComputedStyle(opaque(own.closest("td") ? document.body : own)).backgroundColor), light(style.color)];
      });
      assert.ok(colorScheme === "dark" ? ink - paper > 0.6 : paper - ink > 0.6, `${selector}: ${paper} ${ink}`);
    }
    if (process.env.MOUE_SHOTS) await page.screenshot({ path: path.join(process.env.MOUE_SHOTS, `evaluation-${width}-${colorScheme}.png`), fullPage: true });
    await close();
  });
}
