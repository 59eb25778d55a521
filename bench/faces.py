"""20,000 faces from Python: `moue.Predictor.predict_faces`, ONNX Runtime on the exported model, and moue in Rust.

    bench/faces.py [--faces 20000] [--rounds 3] [--models default tiny] [--out bench/results/...]

Needs the wheel (`pip install ./crates/python`), `onnxruntime` and a built `moue`. The programs are measured in
alternation; printed are medians, in faces per second. ONNX Runtime gets the same array in the same process, as float32,
in batches of 64 (its fastest of 1, 16, 64, 256). Rust is measured with `moue bench`: the network only, without
calibration, on noise in memory."""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import moue
import numpy
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[1]


def rate(count, function):
    start = time.perf_counter()
    function()
    return count / (time.perf_counter() - start)


def measure(arguments, name, faces):
    predictor = moue.Predictor(name)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{name}.onnx"
        subprocess.run([arguments.moue, "export", name, path, "--quiet"], check=True)
        session = onnxruntime.InferenceSession(path)
    pixels = faces.astype("f4")[:, None]

    def with_onnxruntime():
        for first in range(0, len(pixels), 64):
            session.run(None, {"input": pixels[first : first + 64]})

    def with_rust():
        command = [arguments.moue, "bench", name, "--batch-size", "64", "--json", "--quiet"]
        output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        return json.loads(output)["predict_images_per_second"]

    rates = {"predict_faces": [], "onnxruntime": [], "moue bench": []}
    predictor.predict_faces(faces[:256])
    for _ in range(arguments.rounds):
        rates["predict_faces"].append(rate(len(faces), lambda: predictor.predict_faces(faces)))
        rates["onnxruntime"].append(rate(len(faces), with_onnxruntime))
        rates["moue bench"].append(with_rust())
    return {key: round(statistics.median(values)) for key, values in rates.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moue", default=str(ROOT / "target/release/moue"))
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=["default", "tiny"])
    parser.add_argument("--out", type=pathlib.Path, help="folder for faces.json")
    arguments = parser.parse_args()
    faces = numpy.random.default_rng(0).integers(0, 256, (arguments.faces, 48, 48), dtype=numpy.uint8)
    table = {name: measure(arguments, name, faces) for name in arguments.models}
    print(json.dumps(table, indent=1))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        document = {"faces": len(faces), "faces_per_second": table}
        (arguments.out / "faces.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
