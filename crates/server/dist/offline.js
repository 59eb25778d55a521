// Caches the files of the page, so that it works offline after the first visit.
// The build inserts the list of files and its version.

const VERSION = "moue-d2e3c1b18d5b5c40";
const FILES = ["./","camera.js","compute.js","config.json","icon.svg","index.html","manifest.webmanifest","moue/index.js","moue/moue_web.js","moue/moue_web_bg.wasm","page.css","page.js","save.js","view.js","worker.js"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const outdated = (names) => names.filter((name) => name.startsWith("moue-") && name !== VERSION);
  const cleaned = caches.keys().then((names) => Promise.all(outdated(names).map((name) => caches.delete(name))));
  event.waitUntil(cleaned.then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  if (event.request.method === "GET") {
    event.respondWith(caches.open(VERSION).then((cache) => cache.match(event.request)).then((kept) => kept ?? fetch(event.request)));
  }
});
