"""Load tests of `moue serve`, compared with a service of FastAPI and ONNX Runtime.

    bench/serve.py --photos FOLDER --seconds 10 --out bench/results/…

Throughput, latency and resident memory with 1, 8 and 64 clients for a face (synthetic, without detection). With
--photos: a burst of 20,000 photos of different sizes over 64 connections, and the memory before and after it. Needs `wrk`, and for the peer a Python with onnx, onnxruntime, fastapi, uvicorn and pillow (--peer-python). The face is
synthetic. In the test with invalid requests, one in ten is no picture, too large, or incomplete."""

import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

BENCH = pathlib.Path(__file__).resolve().parent
MOUE = BENCH.parent / "target/release/moue"

CLIENTS = (1, 8, 64)

# Counts responses by status; with BAD set, one request in ten is no picture or too large.
SCRIPT = """
local function read(path) local f = io.open(path, "rb"); local c = f:read("*a"); f:close(); return c end
local bodies = {}
for path in string.gmatch(os.getenv("BODY"), "%S+") do table.insert(bodies, read(path)) end
local large = string.rep("x", 3 * 1024 * 1024)
local bad = os.getenv("BAD")
local count, threads = 0, {}
function setup(thread) table.insert(threads, thread) end
function init() statuses = {} end
function request()
  count = count + 1
  local body = bodies[count % #bodies + 1]
  if bad and count % 10 == 5 then body = "this is no picture" end
  if bad and count % 100 == 15 then body = large end
  return wrk.format("POST", os.getenv("TARGET"), {["Content-Type"] = "application/octet-stream"}, body)
end
function response(status) statuses[status] = (statuses[status] or 0) + 1 end
function done(summary, latency)
  local all = {}
  for _, thread in ipairs(threads) do
    for status, n in pairs(thread:get("statuses")) do all[status] = (all[status] or 0) + n end
  end
  for status, n in pairs(all) do print("status " .. status .. " " .. n) end
  print(string.format("rate %f", summary.requests / summary.duration * 1e6))
  print(string.format("p50 %f", latency:percentile(50) / 1e3))
  print(string.format("p99 %f", latency:percentile(99) / 1e3))
  local e = summary.errors
  print(string.format("errors %d", e.connect + e.read + e.write + e.timeout))
end
"""


def resident(process):
    """Resident memory of a process and its children, in MB."""
    pids, total = [str(process.pid)], 0
    while pids:
        pid = pids.pop()
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            pids += pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        found = re.search(r"VmRSS:\s+(\d+)", status)
        total += int(found[1]) if found else 0
    return total / 1024


def send_incomplete(address, stop, statuses):
    """Sends requests with an incomplete body until `stop` is set, and collects the statuses of the responses."""
    while not stop.is_set():
        with socket.create_connection(address) as connection:
            head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
            connection.sendall(head + b"\x89PNG" * 20)
            connection.shutdown(socket.SHUT_WR)
            response = connection.recv(4096)
            statuses.append(int(response.split()[1]) if response else 0)
        time.sleep(0.02)


def load(name, process, port, bodies, path, seconds, clients=64, bad=False):
    """Runs one load test and returns its measurements."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT)
        script.flush()
        environment = {**os.environ, "BODY": "\n".join(map(str, bodies)), "TARGET": path, **({"BAD": "1"} if bad else {})}
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", "-s", script.name]
        command.append(f"http://127.0.0.1:{port}")
        before, stop, incomplete = resident(process), threading.Event(), []
        sender = threading.Thread(target=send_incomplete, args=(("127.0.0.1", port), stop, incomplete))
        if bad:
            sender.start()
        output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        stop.set()
        if bad:
            sender.join()
    metrics = {key: round(float(value), 2) for key, value in re.findall(r"^(rate|p50|p99|errors) (\S+)", output, re.M)}
    statuses = {status: int(n) for status, n in re.findall(r"^status (\d+) (\d+)", output, re.M)}
    if not statuses:
        sys.exit(f"{name}: no response; {output}")
    for status in incomplete:
        statuses[f"{status} (cut off)"] = statuses.get(f"{status} (cut off)", 0) + 1
    memory = {"mb_before": round(before), "mb_after": round(resident(process))}
    row = {"load": name, "clients": clients, **metrics, "statuses": statuses, **memory}
    print(json.dumps(row), flush=True)
    return row


def burst(process, port, photos, count):
    """Sends 100 photos one after the other, then `count` over 64 connections; memory after both."""
    url = f"http://127.0.0.1:{port}/v1/predict"
    for number in range(100):
        photo = photos[number % len(photos)]
        urllib.request.urlopen(urllib.request.Request(url, photo.read_bytes(), method="POST")).read()
    warm, sent, seconds, peak = resident(process), 0, 0.0, 0.0
    while sent < count:
        row = load("moue, photos", process, port, photos, "/v1/predict", 20)
        sent += sum(row["statuses"].values())
        seconds, peak = seconds + 20, max(peak, resident(process))
    time.sleep(5)
    after = resident(process)
    row = {"load": "moue, burst of photos", "photos": sent, "rate": round(sent / seconds, 1), "mb_after_100": round(warm)}
    row |= {"mb_peak": round(peak), "mb_5_s_later": round(after), "ratio": round(after / warm, 2)}
    print(json.dumps(row), flush=True)
    return row


def wait_for(port):
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"no service listens on port {port}")


def start(command, port, **environment):
    process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=BENCH, stderr=subprocess.DEVNULL)
    wait_for(port)
    return process


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=pathlib.Path, help="a folder of photos for the burst with detection")
    parser.add_argument("--burst", type=int, default=20_000, help="number of photos of the burst")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--out", type=pathlib.Path, help="folder for serve.json")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([MOUE, "data", "draw", f"{work}/faces", "--quiet"], check=True)
        face = sorted(pathlib.Path(work, "faces").rglob("*.png"))[:1]
        plain = "/v1/predict?detect=false"
        serve = [MOUE, "serve", "--addr", "127.0.0.1:8090", "--max-body", "2", "--quiet"]
        process = start(serve, 8090)
        load("moue, warming up", process, 8090, face, plain, 3)
        for clients in CLIENTS:
            rows.append(load("moue, face", process, 8090, face, plain, arguments.seconds, clients))
        rows.append(load("moue, face, a tenth bad", process, 8090, face, plain, arguments.seconds, bad=True))
        process.terminate()
        process.wait()
        if arguments.photos:
            process = start(serve, 8090)
            rows.append(burst(process, 8090, sorted(arguments.photos.rglob("*.jpg")), arguments.burst))
            process.terminate()
            process.wait()

        net = pathlib.Path(work, "net.onnx")
        show = [MOUE, "arch", "show", "default", "--toml"]
        toml = subprocess.run(show, capture_output=True, text=True, check=True).stdout
        convert = "import sys,nets; open(sys.argv[1],'wb').write(nets.onnx_network(nets.parse(sys.stdin.read())[0]))"
        subprocess.run([arguments.peer_python, "-c", convert, net], input=toml, text=True, check=True, cwd=BENCH)
        for workers, threads in ((1, 1), (1, 2), (2, 1)):
            command = [arguments.peer_python, "-m", "uvicorn", "serve_peer:app", "--port", "8091"]
            command += ["--log-level", "error", "--workers", str(workers)]
            process = start(command, 8091, SERVE_NET=str(net), SERVE_THREADS=str(threads))
            load("peer, warming up", process, 8091, face, "/v1/predict", 3)
            name = f"FastAPI and ONNX Runtime, {workers} processes, {threads} threads, face"
            for clients in CLIENTS:
                rows.append(load(name, process, 8091, face, "/v1/predict", arguments.seconds, clients))
            process.terminate()
            process.wait()
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "serve.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
