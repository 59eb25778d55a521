"""Face detection by moue and other programs, side by side.

    bench/detection.py photos FOLDER [--degraded]      recall by size, false boxes and time on labeled photographs
    bench/detection.py tight fer2013.csv.gz FOLDER     face crops, and pictures without a face

FOLDER holds photographs and `faces.csv` (file, x, y, width, height, kind: `face`, or `ignore` for what is neither found
nor false). A face is found when intersection over union with a box is at least 0.25. Pictures are read from and written
to temporary folders only.

`--peers` selects programs: `moue` (the binary that MOUE names, with `--model tiny`), `yunet` (OpenCV's FaceDetectorYN
with the file that --yunet names, at the photo's size), `haar` (OpenCV's frontal cascade) and `fer` (PyPI, with the
interpreter that --fer-python names). Needs numpy, pillow and `opencv-python-headless<5`."""

import argparse
import csv
import gzip
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image, ImageFilter

ROOT = pathlib.Path(__file__).resolve().parents[1]
SAME = 0.25
SIZES = [(16, 24), (24, 40), (40, 64), (64, math.inf)]
SUMS = [(24, math.inf), (40, math.inf)]


# Programs: each takes a folder and returns boxes (x, y, width, height, score) by file, and seconds.


def moue(folder, arguments):
    program = os.environ.get("MOUE", str(ROOT / "target/release/moue"))
    command = [program, "predict", "--model", "tiny", "--json", "--quiet", *arguments.moue_options.split(), str(folder)]
    start = time.perf_counter()
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds = time.perf_counter() - start
    boxes = {}
    for line in output.splitlines():
        prediction = json.loads(line)
        keys = ("x", "y", "width", "height")
        faces = [(*(face["box"][key] for key in keys), face["score"]) for face in prediction["faces"]]
        # One face that is the whole picture, with a warning.
        whole = prediction.get("warning") is not None
        boxes[pathlib.Path(prediction["input"]).name] = [(*face, whole) for face in faces]
    return boxes, seconds


def opencv(folder, find):
    import cv2

    boxes, seconds = {}, 0.0
    for path in sorted(folder.glob("*.[jp][pn]g")):
        picture = cv2.imread(str(path))
        start = time.perf_counter()
        boxes[path.name] = [(*map(float, box), False) for box in find(picture)]
        seconds += time.perf_counter() - start
    return boxes, seconds


def yunet(folder, arguments):
    import cv2

    detector = cv2.FaceDetectorYN.create(str(arguments.yunet), "", (640, 640), 0.7, 0.3, 5000)

    def find(picture):
        detector.setInputSize((picture.shape[1], picture.shape[0]))
        found = detector.detect(picture)[1]
        return [] if found is None else [(*face[:4], face[14]) for face in found]

    return opencv(folder, find)


def haar(folder, _):
    import cv2

    detector = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")

    def find(picture):
        gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        return [(*box, 1.0) for box in detector.detectMultiScale(gray, 1.1, 5, minSize=(16, 16))]

    return opencv(folder, find)


FER = """
import json, pathlib, sys, time
import cv2
from fer.fer import FER
detector, boxes, seconds = FER(), {}, 0.0
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.[jp][pn]g")):
    picture = cv2.imread(str(path))
    start = time.perf_counter()
    boxes[path.name] = [[*map(float, face["box"]), 1.0, False] for face in detector.detect_emotions(picture)]
    seconds += time.perf_counter() - start
print(json.dumps([boxes, seconds]))
"""


def fer(folder, arguments):
    command = [str(arguments.fer_python), "-c", FER, str(folder)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


PEERS = {"moue": moue, "yunet": yunet, "haar": haar, "fer": fer}


def overlap(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


# Photographs.


def turned(box, degrees, width, height):
    """A box in a picture that was turned counterclockwise around its center; the size is kept."""
    x, y = box[0] + box[2] / 2 - width / 2, box[1] + box[3] / 2 - height / 2
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = x * cos + y * sin + width / 2, -x * sin + y * cos + height / 2
    return (x - box[2] / 2, y - box[3] / 2, *box[2:4])


VARIANTS = {
    "as they are": (lambda picture: picture, lambda box, *_: box),
    "half size": (
        lambda picture: picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX),
        lambda box, *_: tuple(value / 2 for value in box),
    ),
    "dark x 0.3": (lambda picture: picture.point(lambda value: round(value * 0.3)), lambda box, *_: box),
    "turned +20": (
        lambda picture: picture.rotate(20, Image.Resampling.BICUBIC),
        lambda box, width, height: turned(box, 20, width, height),
    ),
    "turned -20": (
        lambda picture: picture.rotate(-20, Image.Resampling.BICUBIC),
        lambda box, width, height: turned(box, -20, width, height),
    ),
    "blurred": (lambda picture: picture.filter(ImageFilter.GaussianBlur(2)), lambda box, *_: box),
}


def photos(arguments):
    labels = {}
    with (arguments.folder / "faces.csv").open() as file:
        for row in csv.DictReader(file):
            box = tuple(float(row[key]) for key in ("x", "y", "width", "height"))
            labels.setdefault(row["file"], []).append((box, row["kind"]))
    files = sorted(path.name for path in arguments.folder.glob("*.jpg"))
    print("| pictures | program | " + " | ".join(name_of(size) for size in SIZES + SUMS) + " | false | ms |")
    print("|---" * (len(SIZES + SUMS) + 4) + "|")
    for variant, (change, place) in VARIANTS.items():
        if variant != "as they are" and not arguments.degraded:
            continue
        with tempfile.TemporaryDirectory() as folder:
            folder, truth = pathlib.Path(folder), {}
            for file in files:
                picture = Image.open(arguments.folder / file).convert("RGB")
                truth[file] = [
                    (place(box, picture.width, picture.height), math.sqrt(box[2] * box[3]), kind)
                    for box, kind in labels.get(file, [])
                ]
                change(picture).save(folder / file, quality=95)
            for peer in arguments.peers:
                boxes, seconds = PEERS[peer](folder, arguments)
                report(variant, peer, truth, boxes, 1000 * seconds / len(files), arguments.verbose)


def name_of(size):
    low, high = size
    return f"from {low}" if math.isinf(high) else f"{low}-{high}"


def report(variant, peer, truth, boxes, milliseconds, verbose):
    found, false = [], 0
    for file, faces in truth.items():
        there = boxes.get(file, [])
        for box, side, kind in faces:
            if kind == "face":
                found.append((side, any(overlap(box, other) >= SAME for other in there)))
        for other in there:
            if not any(overlap(box, other) >= SAME for box, _, _ in faces):
                false += 1
                if verbose:
                    print(f"false: {peer} {file} {other}", file=sys.stderr)
    cells = []
    for low, high in SIZES + SUMS:
        hits = [hit for side, hit in found if low <= side < high]
        cells.append(f"{sum(hits)}/{len(hits)} {sum(hits) / max(1, len(hits)):.3f}")
    print(f"| {variant} | {peer} | {' | '.join(cells)} | {false} | {milliseconds:.1f} |", flush=True)


# Face crops, and pictures without a face.


def fer2013(path, usage, count):
    """Some of a split's faces, spread over it."""
    faces = []
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            if row["Usage"] == usage:
                faces.append(np.array(row["pixels"].split(), np.uint8).reshape(48, 48))
    return [Image.fromarray(face).convert("RGB") for face in faces[:: max(1, len(faces) // count)][:count]]


def texture(kind, side, draw, backgrounds):
    noise = np.random.default_rng(draw.randrange(2**32))
    if kind == "gradient":
        return Image.fromarray(noise.integers(0, 256, (2, 2, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    if kind == "noise":
        cells = max(2, side // draw.choice([1, 4, 16]))
        return Image.fromarray(noise.integers(0, 256, (cells, cells, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    if kind == "stripes":
        y, x = np.mgrid[:side, :side]
        angle, period = draw.uniform(0, math.pi), draw.uniform(3, side / 2)
        wave = np.sin((x * math.cos(angle) + y * math.sin(angle)) / period * 2 * math.pi)
        return Image.fromarray((wave * 100 + 128).astype(np.uint8)).convert("RGB")
    picture = draw.choice(backgrounds)
    side = min(side, *picture.size)
    x, y = draw.randrange(picture.width - side + 1), draw.randrange(picture.height - side + 1)
    return picture.crop((x, y, x + side, y + side))


def tight(arguments):
    draw = random.Random(0)
    faces = fer2013(arguments.data, "PublicTest", arguments.count)
    with (arguments.folder / "faces.csv").open() as file:
        labeled = {row["file"] for row in csv.DictReader(file)}
    backgrounds = [Image.open(path).convert("RGB") for path in sorted(arguments.folder.glob("*.jpg")) if path.name not in labeled]
    kinds = ["gradient", "noise", "stripes", "photo"]
    sets = {"48 px": faces, "enlarged": [], "with border": [], "textures": []}
    for face in faces:
        side = draw.randrange(100, 351)
        large = face.resize((side, side), Image.Resampling.BICUBIC)
        border = int(side * draw.uniform(0.1, 0.5))
        framed = Image.new("RGB", (side + 2 * border,) * 2, tuple(draw.randrange(256) for _ in range(3)))
        framed.paste(large, (border, border))
        sets["enlarged"].append(large)
        sets["with border"].append(framed)
    for number in range(arguments.count):
        sets["textures"].append(texture(kinds[number % 4], draw.randrange(32, 351), draw, backgrounds))
    print("| pictures | program | a face found | with the whole picture | several faces | ms |")
    print("|---|---|---|---|---|---|")
    for name, pictures in sets.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for number, picture in enumerate(pictures):
                picture.save(folder / f"{number:04}.png")
            for peer in arguments.peers:
                boxes, seconds = PEERS[peer](folder, arguments)
                there = list(boxes.values())
                detected = sum(any(not box[5] for box in found) for found in there)
                counted = sum(bool(found) for found in there)
                several = sum(len(found) > 1 for found in there)
                n = len(pictures)
                row = f"{detected}/{n} | {counted}/{n} | {several} | {1000 * seconds / n:.1f}"
                print(f"| {name} | {peer} | {row} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("photos", photos), ("tight", tight)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        if name == "tight":
            command.add_argument("data", type=pathlib.Path, help="FER2013 as CSV, gzipped")
            command.add_argument("--count", type=int, default=200)
        command.add_argument("folder", type=pathlib.Path, help="labeled photographs")
        command.add_argument("--peers", nargs="+", choices=PEERS, default=["moue"])
        command.add_argument("--yunet", type=pathlib.Path, help="YuNet's ONNX file")
        command.add_argument("--fer-python", type=pathlib.Path, help="an interpreter with fer")
        command.add_argument("--moue-options", default="", help="more options for `moue predict`")
        command.add_argument("--verbose", action="store_true", help="name the false boxes")
        if name == "photos":
            command.add_argument("--degraded", action="store_true", help="also half size, dark, turned and blurred")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
