// Tests of the layout of reports: what can only be seen in a browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { launch, moue } from "./shared.mjs";

const work = mkdtempSync(path.join(tmpdir(), "moue-report-"));

let browser;

before(async () => {
  const run = (...args) => execFileSync(moue, [...args, "--quiet"], { cwd: work, stdio: "ignore" });
  run("data", "draw", "faces", "--count", "42");
  const varied = ["--vary", "train.label_smoothing=0,0.05,0.1", "--vary", "train.batch_size=16,32"];
  run("compare", process.env.MOUE_ARCH, "--data", "faces", "--epochs", "2", "--seeds", "2", "--out", "found", ...varied);
  run("tune", process.env.MOUE_ARCH, "--data", "faces", "--epochs", "3", "--trials", "12", "--out", "searched");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  rmSync(work, { recursive: true, force: true });
});

for (const width of [1280, 390]) {
  test(`a comparison is readable at ${width} pixels`, async () => {
    const page = await browser.newPage({ viewport: { width, height: 900 } });
    await page.goto(pathToFileURL(path.join(work, "found/report.html")).href);
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
    const [needed, given] = await page.locator(".scroll:has(table)").evaluate((box) => [box.scrollWidth, box.clientWidth]);
    assert.ok(needed <= given, `the table needs ${needed} of ${given} pixels`);
    assert.equal(await page.locator("tbody tr").count(), 6);
    // Where rows are blocks, each value has its name.
    const name = await page.locator("td[data-name=gap]").first().evaluate((cell) => getComputedStyle(cell, "::before").content);
    assert.equal(name, width === 390 ? '"gap"' : "none");
    await page.close();
  });
}

test("labels are next to the curves, not over them", async () => {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(pathToFileURL(path.join(work, "found/report.html")).href);
  const [curves, labels, edge] = await page.locator("svg").evaluate((svg) => [
    Math.max(...[...svg.querySelectorAll(".curve, .band, .dot")].map((part) => part.getBBox().x + part.getBBox().width)),
    [...svg.querySelectorAll("text.name, text.tick")].map((text) => text.getBBox()).filter(({ x }) => x > 60)
      .map(({ x, y, width, height }) => ({ x, y, width, height })).filter(({ y }) => y > 20),
    svg.viewBox.baseVal.width,
  ]);
  const legend = labels.filter(({ y }) => y < 470);
  assert.equal(legend.length, 7, JSON.stringify(legend));
  for (const { x, width } of legend) {
    assert.ok(x > curves && x + width < edge, `${x} ${width} ${curves}`);
  }
  legend.sort((one, other) => one.y - other.y);
  legend.slice(1).forEach((label, number) => assert.ok(label.y - legend[number].y > 12, JSON.stringify(legend)));
  await page.close();
});

for (const width of [1280, 390]) {
  test(`a search is readable at ${width} pixels, without a network`, async () => {
    const page = await browser.newPage({ viewport: { width, height: 900 } });
    const requests = [];
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(pathToFileURL(path.join(work, "searched/report.html")).href);
    assert.equal(requests.length, 1, requests.join("\n"));
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width);
    const tables = await page.locator(".scroll:has(table)").evaluateAll((boxes) => boxes.map((box) => [box.scrollWidth, box.clientWidth]));
    tables.forEach(([needed, given]) => assert.ok(needed <= given, `a table needs ${needed} of ${given} pixels`));
    assert.equal(await page.locator(".trials tbody tr").count(), 12);
    // Charts: over time, learning curves, parallel coordinates, dependences, size and latency.
    const charts = await page.locator("svg").evaluateAll((all) => all.map((svg) => svg.getAttribute("aria-label")));
    for (const title of ["so far", "Accuracy, %", "Parallel", "learning_rate", "Size", "Latency"]) {
      assert.ok(charts.some((label) => label.includes(title)), `${title}: ${charts.join("; ")}`);
    }
    // Every mark is inside its picture.
    const outside = await page.locator("svg").evaluateAll((all) => all.flatMap((svg) => {
      const { width, height } = svg.viewBox.baseVal;
      return [...svg.querySelectorAll("circle, polyline, text")].map((mark) => [mark, mark.getBBox(), mark.transform.baseVal.length])
        .filter(([, box, moved]) => !moved && (box.x < -1 || box.y < -1 || box.x + box.width > width + 1 || box.y + box.height > height + 1))
        .map(([mark]) => `${svg.getAttribute("aria-label")}: ${mark.outerHTML}`);
    }));
    assert.deepEqual(outside, []);
    await page.close();
  });
}
