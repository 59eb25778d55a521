"""Compares `moue predict` with `fer` (PyPI) on a folder of photos.

    bench/photos.py make FOLDER --data fer2013.csv.gz --count 2000
    bench/photos.py run FOLDER --model model.safetensors --peers fer --out bench/results/…

`make` pastes PublicTest faces of random sizes at random positions onto synthetic backgrounds; some files are truncated,
empty, not images, or have the wrong extension. `run` measures the programs in alternation, each in its own process, and
prints photos per second, the recall of face detection, the accuracy on the detected faces, and peak memory. `fer` needs
its own environment, `pip install fer tensorflow-cpu pillow "opencv-contrib-python<5" "setuptools<81"`, whose
interpreter --fer-python names."""

import argparse
import csv
import gzip
import json
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
# In the order of FER2013's class indices.
CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
GROUND_TRUTH = "truth.jsonl"
# The minimum intersection over union of a box and a face that it detects.
MIN_IOU = 0.3


def rows(path):
    """The label and pixels of each PublicTest face."""
    opened = gzip.open(path, "rt") if str(path).endswith(".gz") else open(path)
    with opened as file:
        for row in csv.DictReader(file):
            if row["Usage"] == "PublicTest":
                yield CLASSES[int(row["emotion"])], bytes(map(int, row["pixels"].split()))


def background(width, height, rng):
    """A synthetic background: a smooth gradient, a few shapes and noise."""
    from PIL import Image, ImageDraw, ImageFilter

    corners = Image.new("RGB", (2, 2))
    for place in ((0, 0), (1, 0), (0, 1), (1, 1)):
        corners.putpixel(place, tuple(rng.randrange(40, 216) for _ in range(3)))
    picture = corners.resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.randrange(3, 9)):
        x, y = rng.randrange(width), rng.randrange(height)
        box = [x, y, x + rng.randrange(20, width // 2), y + rng.randrange(20, height // 2)]
        shape = rng.choice([pen.rectangle, pen.ellipse])
        shape(box, fill=tuple(rng.randrange(256) for _ in range(3)))
    picture = picture.filter(ImageFilter.GaussianBlur(2))
    grain = Image.effect_noise((width, height), 12).convert("RGB")
    return Image.blend(picture, grain, 0.08)


def make(arguments):
    from PIL import Image

    rng = random.Random(0)
    faces = list(rows(arguments.data))
    arguments.folder.mkdir(parents=True)
    with (arguments.folder / GROUND_TRUTH).open("w") as truth:
        for number in range(arguments.count):
            width, height = rng.randrange(480, 1601), rng.randrange(360, 1201)
            picture, pasted = background(width, height, rng), []
            for _ in range(rng.choices([1, 2, 3], [7, 2, 1])[0]):
                label, pixels = rng.choice(faces)
                side = rng.randrange(64, min(257, width // 2, height // 2))
                x, y = rng.randrange(width - side), rng.randrange(height - side)
                if any(
                    abs(x - face["x"]) < max(side, face["side"]) and abs(y - face["y"]) < max(side, face["side"])
                    for face in pasted
                ):
                    continue
                face = Image.frombytes("L", (48, 48), pixels).resize((side, side), Image.Resampling.BICUBIC)
                picture.paste(face.convert("RGB"), (x, y))
                pasted.append({"x": x, "y": y, "side": side, "label": label})
            name = f"photo-{number:05}.jpg"
            path = arguments.folder / name
            # One in forty is damaged in one of three ways; one in a hundred has the wrong extension.
            fault = {0: "cut", 1: "empty", 2: "text"}.get(number % 120) if number % 40 < 3 else None
            picture.save(path, "PNG" if number % 100 == 99 else "JPEG", quality=90)
            if fault == "cut":
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
            elif fault == "empty":
                path.write_bytes(b"")
            elif fault == "text":
                path.write_bytes(b"this is no picture\n")
            truth.write(json.dumps({"file": name, "faces": pasted, "fault": fault}) + "\n")


def with_moue(arguments):
    program = os.environ.get("MOUE", str(ROOT / "target/release/moue"))
    command = [program, "predict", "--model", str(arguments.model), str(arguments.folder), "--json", "--quiet"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    predictions = {}
    for line in output.splitlines():
        prediction = json.loads(line)
        faces = [(face["box"], face["label"]) for face in prediction["faces"]]
        predictions[pathlib.Path(prediction["input"]).name] = faces
    return predictions


FER = """
import json, pathlib, sys
import cv2
from fer.fer import FER
detector = FER()
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.jpg")):
    faces = []
    picture = cv2.imread(str(path))
    if picture is not None:
        for face in detector.detect_emotions(picture):
            x, y, width, height = map(int, face["box"])
            label = max(face["emotions"], key=face["emotions"].get)
            faces.append([{"x": x, "y": y, "width": width, "height": height}, label])
    print(json.dumps([path.name, faces]), flush=True)
"""


def with_fer(arguments):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [str(arguments.fer_python), "-c", FER, str(arguments.folder)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return dict(json.loads(line) for line in output.splitlines() if line.startswith("["))


PEERS = {"moue": with_moue, "fer": with_fer}


def iou(box, face):
    """Intersection over union."""

    def overlap(a, extent, b, other):
        return max(0, min(a + extent, b + other) - max(a, b))

    width = overlap(box["x"], box["width"], face["x"], face["side"])
    intersection = width * overlap(box["y"], box["height"], face["y"], face["side"])
    return intersection / (box["width"] * box["height"] + face["side"] ** 2 - intersection or 1)


def evaluate(folder, predictions):
    """Recall of detection, accuracy on the detected faces, and the number of boxes without a face."""
    faces = found = correct = boxes = 0
    for line in (folder / GROUND_TRUTH).read_text().splitlines():
        photo = json.loads(line)
        predicted = list(predictions.get(photo["file"], []))
        boxes += len(predicted)
        for face in photo["faces"] if photo["fault"] is None else []:
            faces += 1
            best = max(predicted, key=lambda prediction: iou(prediction[0], face), default=None)
            if best is not None and iou(best[0], face) >= MIN_IOU:
                predicted.remove(best)
                found += 1
                correct += best[1] == face["label"]
    accuracy = correct / max(found, 1)
    return {"faces": faces, "recall": found / faces, "accuracy": accuracy, "false_boxes": boxes - found}


def child(arguments):
    """Measures one program on the folder; it runs as a child of this process."""
    start = time.perf_counter()
    predictions = PEERS[arguments.child](arguments)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    photos = sum(1 for _ in (arguments.folder / GROUND_TRUTH).open())
    metrics = {"photos": photos, "photos_per_second": photos / seconds, "peak_mb": memory}
    print(json.dumps(metrics | evaluate(arguments.folder, predictions)))


def run(arguments):
    rounds = {name: [] for name in ["moue", *arguments.peers]}
    for number in range(arguments.rounds):
        for name in rounds:
            command = [sys.executable, __file__, "run", str(arguments.folder), "--child", name]
            command += ["--model", str(arguments.model), "--fer-python", str(arguments.fer_python)]
            metrics = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rounds[name].append(metrics)
            print(f"round {number + 1}: {name}: {metrics}", file=sys.stderr)
    table = ["| | photos/s | peak MB | faces found | accuracy on those | boxes without a face |"]
    table.append("|---" * 6 + "|")
    for name, results in rounds.items():
        last = results[-1]
        rate = statistics.median(metrics["photos_per_second"] for metrics in results)
        table.append(
            f"| {name} | {rate:.1f} | {last['peak_mb']:.0f} | {last['recall']:.1%} of {last['faces']} "
            f"| {last['accuracy']:.1%} | {last['false_boxes']} |"
        )
    text = "\n".join(table) + "\n"
    print(text)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "photos.json").write_text(json.dumps(rounds, indent=1) + "\n")
        (arguments.out / "photos.md").write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make_parser = commands.add_parser("make")
    make_parser.add_argument("folder", type=pathlib.Path)
    make_parser.add_argument("--data", required=True)
    make_parser.add_argument("--count", type=int, default=2000)
    run_parser = commands.add_parser("run")
    run_parser.add_argument("folder", type=pathlib.Path)
    run_parser.add_argument("--model", required=True, type=pathlib.Path)
    run_parser.add_argument("--peers", nargs="*", default=["fer"], choices=sorted(PEERS))
    run_parser.add_argument("--rounds", type=int, default=3)
    run_parser.add_argument("--fer-python", type=pathlib.Path, default=pathlib.Path(sys.executable))
    run_parser.add_argument("--out", type=pathlib.Path)
    run_parser.add_argument("--child", choices=sorted(PEERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.command == "make":
        make(arguments)
    elif arguments.child:
        child(arguments)
    else:
        run(arguments)


if __name__ == "__main__":
    main()
