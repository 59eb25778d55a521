// The frame times of a page while it is scrolled: by the wheel, and in jumps over the whole page.
//
//   node bench/frames.mjs PAGE [WIDTH]        PAGE is a file such as runs/audit/audit.html
//
// Needs Chromium (CHROMIUM, or /usr/bin/chromium) and `npm ci --prefix crates/web`.

import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const { chromium } = createRequire(path.join(import.meta.dirname, "../crates/web/package.json"))("playwright-core");
const [page, width = "1280"] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium" });
const tab = await browser.newPage({ viewport: { width: Number(width), height: 800 } });
const started = performance.now();
await tab.goto(pathToFileURL(path.resolve(page)).href);
await tab.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
console.log(`opened in ${Math.round(performance.now() - started)} ms`);

/** Frame times in milliseconds while `scroll` runs. */
const frames = async (scroll) => {
  await tab.evaluate(() => {
    window.frames_ = [];
    let last;
    const next = (now) => {
      if (last !== undefined) window.frames_.push(now - last);
      last = now;
      window.going_ = requestAnimationFrame(next);
    };
    window.going_ = requestAnimationFrame(next);
  });
  await scroll();
  return tab.evaluate(() => { cancelAnimationFrame(window.going_); return window.frames_; });
};
const report = (name, times) => {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))].toFixed(1);
  console.log(`${name}: ${times.length} frames, median ${at(0.5)} ms, 95th percentile ${at(0.95)}, longest ${at(1)}`);
};

await tab.mouse.move(Number(width) / 2, 400);
report("wheel", await frames(async () => {
  for (let turn = 0; turn < 300; turn += 1) {
    await tab.mouse.wheel(0, 240);
    await tab.waitForTimeout(16);
  }
}));
report("jumps", await frames(async () => {
  for (let turn = 0; turn < 60; turn += 1) {
    await tab.evaluate((share) => window.scrollTo(0, share * document.documentElement.scrollHeight), (turn * 0.37) % 1);
    await tab.waitForTimeout(100);
  }
}));
await browser.close();
