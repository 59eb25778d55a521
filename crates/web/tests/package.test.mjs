// Tests of the npm package: it is packed and installed, and the examples of its README run as printed.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { agree, faces, launch, predicted, serve } from "./shared.mjs";

const folder = path.join(import.meta.dirname, "../../server/dist/moue");
const work = mkdtempSync(path.join(tmpdir(), "moue-package-"));
const installed = path.join(work, "node_modules/@moue/web");
const readme = readFileSync(path.join(folder, "README.md"), "utf8");

let site;
let browser;

const npm = (...args) => execFileSync("npm", [...args, "--silent", "--offline", "--no-audit", "--no-fund"], { cwd: work, encoding: "utf8" });

before(async () => {
  writeFileSync(path.join(work, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const archive = npm("pack", folder).trim();
  npm("install", `./${archive}`);
  cpSync(installed, path.join(work, "moue"), { recursive: true });
  // The first line of an example names its file.
  for (const [, name, rest] of readme.matchAll(/^```(?:html|js)\n(?:<!--|\/\/) (\S+)(.*?)^```/gms)) {
    writeFileSync(path.join(work, name), rest.slice(rest.indexOf("\n") + 1));
  }
  site = await serve(work);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  site?.close();
  rmSync(work, { recursive: true, force: true });
});

/** Opens an example; `errors` are those of the page. */
async function open(name) {
  const page = await browser.newPage({ permissions: ["camera"] });
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(site.origin + name);
  return { page, errors };
}

const written = async (page) => {
  await page.waitForFunction(() => document.querySelector("pre").textContent !== "");
  return page.textContent("pre");
};

test("the archive contains what the package needs and nothing else", () => {
  const names = ["README.md", "index.d.ts", "index.js", "licenses.txt", "moue_web.d.ts", "moue_web.js", "moue_web_bg.wasm", "package.json"];
  assert.deepEqual(readdirSync(installed).sort(), names.sort());
});

test("the page of the README predicts like the command", async () => {
  const { page, errors } = await open("photo.html");
  // The handler is set once the module is loaded.
  await page.waitForFunction(() => document.querySelector("input").onchange !== null);
  await page.setInputFiles("input", faces[0]);
  const [face] = predicted([faces[0]])[0].faces;
  const [label, confidence] = (await written(page)).split(" ");
  assert.equal(label, face.label);
  assert.ok(Math.abs(parseFloat(confidence) - face.confidence) < 0.01, `${confidence} ${face.confidence}`);
  await page.setInputFiles("input", import.meta.filename);
  await page.waitForFunction(() => document.querySelector("pre").textContent.includes("not a PNG"));
  assert.deepEqual(errors, []);
});

test("the worker of the README predicts like the command", async () => {
  const { page, errors } = await open("worker.html");
  await page.waitForFunction(() => document.querySelector("input").onchange !== null);
  await page.setInputFiles("input", faces[2]);
  agree(JSON.parse(await written(page)), predicted([faces[2]])[0]);
  assert.deepEqual(errors, []);
});

test("the camera of the README is predicted frame by frame", async () => {
  const { page, errors } = await open("camera.html");
  assert.match(await written(page), /^[a-z\n ]+$/);
  await page.evaluate(() => (document.querySelector("pre").textContent = ""));
  await written(page);
  assert.deepEqual(errors, []);
});

test("the program of the README runs in Node", () => {
  const printed = execFileSync("node", ["photo.mjs", faces[3]], { cwd: work, encoding: "utf8" });
  const [face] = predicted([faces[3]])[0].faces;
  assert.ok(printed.startsWith(`${face.label} `) && printed.includes(`x: ${face.box.x}`), printed);
});

test("the package in Node predicts like the command, and refuses what is not a model", async () => {
  const { load } = await import(pathToFileURL(path.join(installed, "index.js")));
  const module = readFileSync(path.join(installed, "moue_web_bg.wasm"));
  const engine = await load({ module });
  assert.equal(engine.classes.length, 7);
  assert.deepEqual([engine.model.name, engine.model.images], ["tiny", 3186]);
  agree(await engine.predict(readFileSync(faces[4]), { detect: false }), predicted([faces[4]], "--no-detect")[0]);
  await assert.rejects(load({ model: new Uint8Array(8), module }));
});

test("the README states the sizes of the files", () => {
  const rows = [...readme.matchAll(/^\| (`.*?) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$/gm)];
  assert.equal(rows.length, 2);
  for (const [, files, ...stated] of rows) {
    const content = Buffer.concat([...files.matchAll(/`(.*?)`/g)].map(([, name]) => readFileSync(path.join(installed, name))));
    const sizes = [content, gzipSync(content, { level: 9 }), brotliCompressSync(content)].map((bytes) => bytes.length / 1000);
    stated.forEach((text, at) => {
      const size = Number(text.replace(",", ""));
      assert.ok(Math.abs(size - sizes[at]) < 0.03 * sizes[at] + 0.5, `${files}: ${size} KB is stated, but it has ${sizes[at].toFixed(0)} KB`);
    });
  }
});
