"""A long run of `moue serve` under good, bad, slow and dropped requests.

    bench/soak.py --photos FOLDER --seconds 3600 --rate 20 --out bench/results/…

Writes soak.json (responses by kind of request, resident memory over time) and soak.svg. Any response other than the
expected one is listed, and makes the exit code 1. Needs Python only."""

import argparse
import asyncio
import collections
import json
import pathlib
import random
import subprocess
import sys
import time

from serve import MOUE, resident

PORT = 8096
# Seconds; short, so that slow requests end.
TIMEOUT = 10


def request(body, path="/v1/predict", content="application/octet-stream", length=None):
    length = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content}\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


def form(files):
    parts = [b'--edge\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n' + file + b"\r\n" for file in files]
    return request(b"".join(parts) + b"--edge--\r\n", content="multipart/form-data; boundary=edge")


class Kinds:
    """Kinds of requests: a weight, the expected status (0: none), and what is sent."""

    def __init__(self, photos, seed):
        self.photos, self.draw = photos, random.Random(seed)
        self.weights = {
            "photo": 50, "face": 15, "explained": 3, "form": 5, "nonsense": 6, "truncated": 6, "empty": 3,
            "large": 2, "unknown path": 3, "slow": 3, "dropped": 4,
        }
        self.expected = {
            "photo": 200, "face": 200, "explained": 200, "form": 200, "nonsense": 422, "truncated": 422, "empty": 400,
            "large": 413, "unknown path": 404, "slow": 408, "dropped": 0,
        }

    def pick(self):
        kind = self.draw.choices(list(self.weights), list(self.weights.values()))[0]
        photo = self.draw.choice(self.photos)
        cut = photo[: len(photo) * self.draw.randrange(2, 9) // 10]
        return kind, {
            "photo": lambda: request(photo),
            "face": lambda: request(photo, "/v1/predict?detect=false"),
            "explained": lambda: request(photo, "/v1/predict?explain=true"),
            "form": lambda: form([photo, b"nonsense"]),
            "nonsense": lambda: request(self.draw.randbytes(2000)),
            "truncated": lambda: request(cut),
            "empty": lambda: request(b""),
            "large": lambda: request(bytes(25_000_000)),
            "unknown path": lambda: request(photo, "/v1/nothing"),
            "slow": lambda: request(cut, length=len(photo)),
            "dropped": lambda: request(cut, length=len(photo)),
        }[kind]()


async def send(kind, data):
    """Sends a request and returns the status of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    try:
        writer.write(data)
        await writer.drain()
        if kind == "dropped":
            writer.transport.abort()
            return 0
        response = await asyncio.wait_for(reader.read(-1), 6 * TIMEOUT)
        return int(response.split()[1]) if response else -1
    finally:
        writer.close()


async def run(process, kinds, seconds, rate):
    begun, counts, memory, unexpected, waiting = time.time(), collections.Counter(), [], [], set()

    async def one():
        kind, data = kinds.pick()
        try:
            status = await send(kind, data)
        except (OSError, asyncio.TimeoutError) as error:
            status = repr(error)
        counts[kind, str(status)] += 1
        if status != kinds.expected[kind]:
            unexpected.append([round(time.time() - begun), kind, status])

    number = 0
    while time.time() - begun < seconds:
        task = asyncio.create_task(one())
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        number += 1
        if number % (10 * rate) == 0:
            memory.append([round(time.time() - begun), round(resident(process), 1)])
            if number % (600 * rate) == 0:
                print(f"{memory[-1][0]} s: {number} requests, {memory[-1][1]} MB, {len(unexpected)} unexpected", flush=True)
        await asyncio.sleep(max(0, begun + number / rate - time.time()))
    await asyncio.gather(*waiting)
    await asyncio.sleep(5)
    memory.append([round(time.time() - begun), round(resident(process), 1)])
    by_kind = collections.defaultdict(dict)
    for (kind, status), count in sorted(counts.items()):
        by_kind[kind][status] = count
    return {"requests": number, "seconds": seconds, "responses": by_kind, "unexpected": unexpected, "memory_mb": memory}


def plot(memory):
    """The resident memory over time as SVG."""
    width, height, left, top = 720, 240, 50, 20
    longest, most = max(t for t, _ in memory), max(m for _, m in memory) * 1.1
    points = " ".join(f"{left + t / longest * (width - 70):.1f},{top + (1 - m / most) * (height - 60):.1f}" for t, m in memory)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">']
    lines.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    for part in range(5):
        y = top + (1 - part / 4) * (height - 60)
        lines.append(f'<line x1="{left}" x2="{width - 20}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        lines.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{most * part / 4:.0f}</text>')
    lines.append(f'<polyline points="{points}" fill="none" stroke="#2266aa" stroke-width="1.5"/>')
    lines.append(f'<text x="{left}" y="{height - 8}">resident memory in MB over {longest / 60:.0f} minutes</text></svg>')
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=pathlib.Path, required=True, help="folder of JPEG photos")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--rate", type=int, default=20, help="requests per second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--moue", type=pathlib.Path, default=MOUE)
    parser.add_argument("--out", type=pathlib.Path, help="folder for soak.json and soak.svg")
    arguments = parser.parse_args()
    photos = [path.read_bytes() for path in sorted(arguments.photos.rglob("*.jpg"))[:300]]
    command = [arguments.moue, "serve", "--port", str(PORT), "--timeout", str(TIMEOUT), "--quiet"]
    process = subprocess.Popen(command)
    time.sleep(3)
    try:
        result = asyncio.run(run(process, Kinds(photos, arguments.seed), arguments.seconds, arguments.rate))
    finally:
        process.terminate()
        code = process.wait()
    result = {"version": 1, "exit_code": code, **result}
    print(json.dumps({key: value for key, value in result.items() if key != "memory_mb"}, indent=1))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "soak.json").write_text(json.dumps(result) + "\n")
        (arguments.out / "soak.svg").write_text(plot(result["memory_mb"]))
    sys.exit(1 if result["unexpected"] or code else 0)


if __name__ == "__main__":
    main()
