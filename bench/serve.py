"""Load on `moue serve`, and on a FastAPI and ONNX Runtime service beside it.

    bench/serve.py --photo photo.jpg --seconds 30 --out bench/results/…

Needs `wrk`, and for the peer a Python with onnx, onnxruntime, fastapi, uvicorn and pillow (--peer-python). The face is
drawn by moue. In the load with bad requests, one in ten is no picture, too large, or ends half-way."""

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

BENCH = pathlib.Path(__file__).resolve().parent
MOUE = BENCH.parent / "target/release/moue"

# Counts answers by status; with BAD set, one request in ten is no picture or too large.
SCRIPT = """
local function read(path) local f = io.open(path, "rb"); local c = f:read("*a"); f:close(); return c end
local good = read(os.getenv("BODY"))
local large = string.rep("x", 3 * 1024 * 1024)
local bad = os.getenv("BAD")
local count, threads = 0, {}
function setup(thread) table.insert(threads, thread) end
function init() statuses = {} end
function request()
  count = count + 1
  local body = good
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
    """MB of a process and its children."""
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


def cut_off(address, stop, sent):
    """Requests whose body ends too early, until told to stop."""
    while not stop.is_set():
        with socket.create_connection(address) as connection:
            connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + b"\x89PNG" * 20)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
            sent.append(int(answer.split()[1]) if answer else 0)
        time.sleep(0.02)


def load(name, process, port, body, path, seconds, bad=False):
    """One load; what was measured."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT)
        script.flush()
        environment = {**os.environ, "BODY": str(body), "TARGET": path, **({"BAD": "1"} if bad else {})}
        command = ["wrk", "-t1", "-c64", f"-d{seconds}s", "--timeout", "60s", "-s", script.name, f"http://127.0.0.1:{port}"]
        before, stop, cut = resident(process), threading.Event(), []
        cutter = threading.Thread(target=cut_off, args=(("127.0.0.1", port), stop, cut))
        if bad:
            cutter.start()
        output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        stop.set()
        if bad:
            cutter.join()
    figures = {key: round(float(value), 2) for key, value in re.findall(r"^(rate|p50|p99|errors) (\S+)", output, re.M)}
    statuses = {status: int(n) for status, n in re.findall(r"^status (\d+) (\d+)", output, re.M)}
    for status in cut:
        statuses[f"{status} (cut off)"] = statuses.get(f"{status} (cut off)", 0) + 1
    row = {"load": name, **figures, "statuses": statuses, "mb_before": round(before), "mb_after": round(resident(process))}
    print(json.dumps(row), flush=True)
    return row


def wait_for(port):
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nothing listens on port {port}")


def started(command, port, **environment):
    process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=BENCH, stderr=subprocess.DEVNULL)
    wait_for(port)
    return process


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=pathlib.Path, help="a photo of 640 columns for the load with detection")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--out", type=pathlib.Path, help="folder for serve.json")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([MOUE, "data", "draw", f"{work}/faces", "--quiet"], check=True)
        face = sorted(pathlib.Path(work, "faces").rglob("*.png"))[0]
        plain = "/v1/predict?detect=false"
        process = started([MOUE, "serve", "--addr", "127.0.0.1:8090", "--max-body", "2", "--quiet"], 8090)
        load("moue, warming up", process, 8090, face, plain, 3)
        rows.append(load("moue, face", process, 8090, face, plain, arguments.seconds))
        if arguments.photo:
            rows.append(load("moue, photo", process, 8090, arguments.photo.resolve(), "/v1/predict", arguments.seconds))
        rows.append(load("moue, face, a tenth bad", process, 8090, face, plain, arguments.seconds, bad=True))
        rows.append(load("moue, face again", process, 8090, face, plain, arguments.seconds))
        process.terminate()
        process.wait()

        net = pathlib.Path(work, "net.onnx")
        toml = subprocess.run([MOUE, "arch", "show", "default", "--toml"], capture_output=True, text=True, check=True).stdout
        make = "import sys,tomllib,nets; open(sys.argv[1],'wb').write(nets.onnx_network(tomllib.loads(sys.stdin.read())['model']))"
        subprocess.run([arguments.peer_python, "-c", make, net], input=toml, text=True, check=True, cwd=BENCH)
        for workers, threads in ((1, 1), (1, 2), (2, 1)):
            command = [arguments.peer_python, "-m", "uvicorn", "serve_peer:app", "--port", "8091", "--log-level", "error", "--workers", str(workers)]
            process = started(command, 8091, SERVE_NET=str(net), SERVE_THREADS=str(threads))
            load("peer, warming up", process, 8091, face, "/v1/predict", 3)
            name = f"FastAPI and ONNX Runtime, {workers} processes, {threads} threads, face"
            rows.append(load(name, process, 8091, face, "/v1/predict", arguments.seconds))
            process.terminate()
            process.wait()
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "serve.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
