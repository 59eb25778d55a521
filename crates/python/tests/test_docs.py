"""Executes the Python blocks of the README, the book and this package's README, page by page in one folder each."""

import os
import pathlib
import re
import subprocess
import sys

import numpy
import pytest
from PIL import Image


ROOT = pathlib.Path(__file__).parents[3]
PAGES = ["README.md", "docs/guides/python.md", "docs/guides/model-files.md", "crates/python/README.md"]
# FER2013's classes in the order of its numbers.
CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
COMMAND = os.environ.get("MOUE")
pytestmark = pytest.mark.skipif(COMMAND is None, reason="SKIPPED: MOUE does not name the program")


def blocks(page):
    text = (ROOT / page).read_text()
    return [(text[: match.start()].count("\n") + 2, match[1]) for match in re.finditer(r"```python\n(.*?)```", text, re.S)]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Synthetic faces as FER2013's CSV."""
    folder = tmp_path_factory.mktemp("faces")
    subprocess.run([COMMAND, "data", "draw", folder / "drawn", "--count", "84", "--quiet"], check=True)
    lines = ["emotion,pixels,Usage"]
    for number, path in enumerate(sorted((folder / "drawn").glob("*/*/*.png"))):
        usage = "PublicTest" if number % 4 == 0 else "Training"
        pixels = " ".join(map(str, numpy.asarray(Image.open(path).convert("L")).ravel()))
        lines.append(f"{CLASSES.index(path.parent.name)},{pixels},{usage}")
    (folder / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_of_the_documentation_work(page, faces, tmp_path):
    found = blocks(page)
    assert found, "the page has no Python block"
    (tmp_path / "fer2013.csv").write_bytes((faces / "fer2013.csv").read_bytes())
    picture = Image.new("L", (320, 240), 120)
    picture.paste(Image.open(next((faces / "drawn").glob("*/happy/*.png"))).resize((120, 120)), (100, 60))
    for name in ["photo.jpg", "a.jpg", "b.png"]:
        picture.save(tmp_path / name)
    subprocess.run([COMMAND, "export", "default", "expressions.onnx", "--quiet"], check=True, cwd=tmp_path)
    # Names that a page leaves to the reader, and trainings of one epoch.
    start = """
import functools, numpy, moue
from PIL import Image
pil_image = Image.open("photo.jpg")
array = numpy.asarray(pil_image)
faces = numpy.zeros((2, 48, 48), "uint8")
train = moue.train
moue.train = lambda *arguments, **options: train(*arguments, **{**options, "epochs": 1})
"""
    code = start + "\n".join(text for _, text in found).replace("fer2013.csv.gz", "fer2013.csv")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    lines = ", ".join(str(line) for line, _ in found)
    assert done.returncode == 0, f"{page}, blocks at lines {lines}:\n{done.stderr}"
