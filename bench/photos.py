"""A folder of photos through `moue predict` and through `fer` (PyPI), side by side.

    bench/photos.py make FOLDER --data fer2013.csv.gz --count 2000
    bench/photos.py run FOLDER --model model.safetensors --peers fer --out bench/results/…

`make` pastes PublicTest faces at random sizes and places onto drawn backgrounds; some files are cut off, empty, no
pictures at all, or carry another format's name. `run` takes turns, each program in a process of its own, and tells
photos per second, how many faces are found, how many of those are told right, and peak memory. `fer` needs its own
environment: `pip install fer tensorflow-cpu pillow "opencv-contrib-python<5" "setuptools<81"`; name its interpreter with --fer-python."""

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
# FER2013's ids.
CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
TRUTH = "truth.jsonl"
# Area in common over area of both, of a face that counts as found.
FOUND = 0.3


def rows(path):
    """The PublicTest faces: label and pixels."""
    opened = gzip.open(path, "rt") if str(path).endswith(".gz") else open(path)
    with opened as file:
        for row in csv.DictReader(file):
            if row["Usage"] == "PublicTest":
                yield CLASSES[int(row["emotion"])], bytes(map(int, row["pixels"].split()))


def background(width, height, draw):
    """Soft light, a few shapes and grain."""
    from PIL import Image, ImageDraw, ImageFilter

    corners = Image.new("RGB", (2, 2))
    for place in ((0, 0), (1, 0), (0, 1), (1, 1)):
        corners.putpixel(place, tuple(draw.randrange(40, 216) for _ in range(3)))
    picture = corners.resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for _ in range(draw.randrange(3, 9)):
        x, y = draw.randrange(width), draw.randrange(height)
        box = [x, y, x + draw.randrange(20, width // 2), y + draw.randrange(20, height // 2)]
        shape = draw.choice([pen.rectangle, pen.ellipse])
        shape(box, fill=tuple(draw.randrange(256) for _ in range(3)))
    picture = picture.filter(ImageFilter.GaussianBlur(2))
    grain = Image.effect_noise((width, height), 12).convert("RGB")
    return Image.blend(picture, grain, 0.08)


def make(arguments):
    from PIL import Image

    draw = random.Random(0)
    faces = list(rows(arguments.data))
    arguments.folder.mkdir(parents=True)
    with (arguments.folder / TRUTH).open("w") as truth:
        for number in range(arguments.count):
            width, height = draw.randrange(480, 1601), draw.randrange(360, 1201)
            picture, told = background(width, height, draw), []
            for _ in range(draw.choices([1, 2, 3], [7, 2, 1])[0]):
                label, pixels = draw.choice(faces)
                side = draw.randrange(64, min(257, width // 2, height // 2))
                x, y = draw.randrange(width - side), draw.randrange(height - side)
                if any(abs(x - face["x"]) < max(side, face["side"]) and abs(y - face["y"]) < max(side, face["side"]) for face in told):
                    continue
                face = Image.frombytes("L", (48, 48), pixels).resize((side, side), Image.Resampling.BICUBIC)
                picture.paste(face.convert("RGB"), (x, y))
                told.append({"x": x, "y": y, "side": side, "label": label})
            name = f"photo-{number:05}.jpg"
            path = arguments.folder / name
            # One in forty is broken in one of three ways, one in a hundred misnamed.
            fault = {0: "cut", 1: "empty", 2: "text"}.get(number % 120) if number % 40 < 3 else None
            picture.save(path, "PNG" if number % 100 == 99 else "JPEG", quality=90)
            if fault == "cut":
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
            elif fault == "empty":
                path.write_bytes(b"")
            elif fault == "text":
                path.write_bytes(b"this is no picture\n")
            truth.write(json.dumps({"file": name, "faces": told, "fault": fault}) + "\n")


def with_moue(arguments):
    program = os.environ.get("MOUE", str(ROOT / "target/release/moue"))
    command = [program, "predict", "--model", str(arguments.model), str(arguments.folder), "--json", "--quiet"]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    answers = {}
    for line in output.splitlines():
        answer = json.loads(line)
        faces = [(face["box"], face["label"]) for face in answer["faces"]]
        answers[pathlib.Path(answer["input"]).name] = faces
    return answers


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


def overlap(box, face):
    def along(a, extent, b, other):
        return max(0, min(a + extent, b + other) - max(a, b))

    common = along(box["x"], box["width"], face["x"], face["side"]) * along(box["y"], box["height"], face["y"], face["side"])
    return common / (box["width"] * box["height"] + face["side"] ** 2 - common or 1)


def judged(folder, answers):
    """Faces found and told right, boxes that are on no face."""
    faces = found = right = boxes = 0
    for line in (folder / TRUTH).read_text().splitlines():
        photo = json.loads(line)
        told = list(answers.get(photo["file"], []))
        boxes += len(told)
        for face in photo["faces"] if photo["fault"] is None else []:
            faces += 1
            best = max(told, key=lambda answer: overlap(answer[0], face), default=None)
            if best is not None and overlap(best[0], face) >= FOUND:
                told.remove(best)
                found += 1
                right += best[1] == face["label"]
    return {"faces": faces, "recall": found / faces, "accuracy": right / max(found, 1), "false_boxes": boxes - found}


def child(arguments):
    """One program over the folder, in this process's children."""
    start = time.perf_counter()
    answers = PEERS[arguments.child](arguments)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    photos = sum(1 for _ in (arguments.folder / TRUTH).open())
    figures = {"photos": photos, "photos_per_second": photos / seconds, "peak_mb": memory}
    print(json.dumps(figures | judged(arguments.folder, answers)))


def run(arguments):
    rounds = {name: [] for name in ["moue", *arguments.peers]}
    for number in range(arguments.rounds):
        for name in rounds:
            command = [sys.executable, __file__, "run", str(arguments.folder), "--child", name, "--model", str(arguments.model)]
            command += ["--fer-python", str(arguments.fer_python)]
            figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rounds[name].append(figures)
            print(f"round {number + 1}: {name}: {figures}", file=sys.stderr)
    table = ["| | photos/s | peak MB | faces found | of those right | boxes on no face |", "|---|---|---|---|---|---|"]
    for name, all_figures in rounds.items():
        last = all_figures[-1]
        rate = statistics.median(figures["photos_per_second"] for figures in all_figures)
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
    makes = commands.add_parser("make")
    makes.add_argument("folder", type=pathlib.Path)
    makes.add_argument("--data", required=True)
    makes.add_argument("--count", type=int, default=2000)
    runs = commands.add_parser("run")
    runs.add_argument("folder", type=pathlib.Path)
    runs.add_argument("--model", required=True, type=pathlib.Path)
    runs.add_argument("--peers", nargs="*", default=["fer"], choices=sorted(PEERS))
    runs.add_argument("--rounds", type=int, default=3)
    runs.add_argument("--fer-python", type=pathlib.Path, default=pathlib.Path(sys.executable))
    runs.add_argument("--out", type=pathlib.Path)
    runs.add_argument("--child", choices=sorted(PEERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.command == "make":
        make(arguments)
    elif arguments.child:
        child(arguments)
    else:
        run(arguments)


if __name__ == "__main__":
    main()
