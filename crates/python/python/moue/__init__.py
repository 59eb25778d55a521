"""Expressions of faces: predict, train, compare; no framework needed.

    import moue
    for face in moue.Predictor().predict("photo.jpg").faces:
        print(face.label, face.confidence)

An expression is what a face looks like, not what a person feels. In the European Union the AI Act forbids systems that
infer emotions at work and in education."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union, overload

from . import _moue

if TYPE_CHECKING:
    import numpy
    import PIL.Image
    from numpy.typing import NDArray

    Picture = Union[str, os.PathLike[str], bytes, "PIL.Image.Image", "NDArray[numpy.uint8]"]

__all__ = [
    "Box",
    "Dataset",
    "Experiment",
    "Face",
    "Prediction",
    "Predictor",
    "compare",
    "evaluate",
    "load",
    "plan",
    "train",
]
__version__ = _moue.VERSION


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Face:
    """A face and what its expression looks like."""

    box: Box
    label: str
    """The most probable class."""
    confidence: float
    """Its probability."""
    uncertain: bool
    """Whether the confidence lies below the model's threshold."""
    probabilities: dict[str, float]
    """For each class."""
    score: float | None
    """The detector's score; None without a detector."""


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture."""

    input: str
    """The file, `<bytes>` or `<pixels>`."""
    width: int
    height: int
    faces: list[Face]
    """One for each face, from left to right; none is a normal answer."""
    error: str | None
    """Why there is no answer."""


class Predictor:
    """A model that is ready to answer, from any number of threads.

    `model` is a file (safetensors or ONNX), or `"default"` or `"tiny"` for the models in the box. `min_face` is the side
    of the smallest face looked for, in pixels; `min_score` the least score of a face (higher finds fewer, surer ones);
    `threads` the number of threads (all cores by default)."""

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        min_face: int | None = None,
        min_score: float | None = None,
        threads: int | None = None,
    ) -> None:
        self._model = model or "default"
        self._options = (min_face or 0, min_score or 0.0, threads or 0)
        self._inner = _moue.Predictor(self._model, *self._options)

    def __repr__(self) -> str:
        return f"moue.Predictor({str(self._model)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_again, (self._model, *self._options))

    @property
    def classes(self) -> list[str]:
        """The classes, in the order of the columns of `predict_faces`."""
        return self._inner.classes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the faces that the network takes."""
        return self._inner.input_shape

    @property
    def uncertain_below(self) -> float:
        """Answers with a lower confidence are called uncertain."""
        return self._inner.uncertain_below

    @overload
    def predict(self, picture: Picture, detect: bool = True) -> Prediction: ...
    @overload
    def predict(self, picture: list[Picture] | tuple[Picture, ...], detect: bool = True) -> list[Prediction]: ...
    def predict(self, picture: Any, detect: bool = True) -> Any:
        """Finds the faces of a picture and tells their expressions; `detect=False` takes the whole picture for the face.

        A picture is a path, an image file's bytes, a `PIL.Image`, or an array `[H, W]` or `[H, W, C]` of uint8 (1, 3 or
        4 channels: grey, RGB, RGBA). A list of them gives a list, worked on by all cores, where a picture that cannot
        be read has an `error`; alone it raises ValueError."""
        if isinstance(picture, (list, tuple)):
            documents = self._inner.predict([_source(one) for one in picture], detect)
            return [_prediction(json.loads(document)) for document in documents]
        (answer,) = self.predict([picture], detect)
        if answer.error is not None:
            raise ValueError(f"{answer.input}: {answer.error}")
        return answer

    def predict_faces(self, faces: NDArray[numpy.uint8] | NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        """Probabilities `[N, classes]` of faces `[N, H, W]` or `[N, H, W, C]` of `input_shape`, uint8 or float32, 0-255.

        The array is read in place when it lies in memory in C order, and other Python threads run meanwhile."""
        import numpy

        height, width, channels = self.input_shape
        shape = faces.shape if faces.ndim == 4 else (*faces.shape, 1)
        if shape[1:] != (height, width, channels):
            wanted = f"[N, {height}, {width}{f', {channels}' if channels > 1 else ''}]"
            raise ValueError(f"faces have the shape {list(faces.shape)}, the model takes {wanted}")
        if faces.dtype not in (numpy.uint8, numpy.float32):
            raise TypeError(f"faces are {faces.dtype}; uint8 or float32 is needed, with values of 0 to 255")
        array: Any = numpy.ascontiguousarray(faces)
        return self._inner.predict_faces(array).reshape(len(faces), len(self.classes))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with labels and splits."""

    images: NDArray[numpy.uint8]
    """`[N, H, W]`, or `[N, H, W, 3]` for RGB."""
    labels: NDArray[numpy.uint32]
    """For each image, the index of its class."""
    classes: list[str]
    splits: NDArray[numpy.str_]
    """For each image `train`, `validation` or `test`."""
    ids: list[str]
    """For each image, its row (from 0) or path in the source."""

    def __len__(self) -> int:
        return len(self.labels)


def load(
    data: str | os.PathLike[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int = 1,
    seed: int = 0,
) -> Dataset:
    """Opens a data set as downloaded (CSV or image folders, compressed or not), or drawn faces where none is named.

    `image_size` is height and width; without it, those of the first image (48 x 48 for drawn faces). Where the source
    has no validation split, `seed` settles which tenth of the training images is set aside."""
    import numpy

    pixels, labels, document = _moue.load(data, image_size or (None if data else (48, 48)), channels, seed)
    said = json.loads(document)
    shape = said.pop("shape")
    images = pixels.reshape(shape if channels > 1 else shape[:3])
    return Dataset(images=images, labels=labels, **{**said, "splits": numpy.array(said["splits"])})


def train(
    arch: str | os.PathLike[str] = "small",
    data: str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | bool = False,
    epochs: int | None = None,
    seed: int | None = None,
    options: Mapping[str, object] | None = None,
    progress: Callable[[dict[str, Any]], object] | None = None,
) -> dict[str, Any]:
    """Trains a network and writes a run folder, as `moue train` does.

    `arch` is a preset's name or a TOML file, `data` a data set as downloaded (drawn faces without it), `out` the run's
    folder, `init` a model to start from, `resume` a run to go on with (True: that in `out`, where there is one; for jobs
    that may be killed and started again). `options` sets any key of the architecture file,
    for instance `{"train.learning_rate": 0.01, "augment.mixup": 0.2, "dropout.rate": 0.5}`.

    `progress` is called after each epoch with its figures; when it returns False, the training ends there. When it
    raises, or at Ctrl-C, the training ends too, and can be resumed.

    Returns what `moue train --json` prints (`run`, `model`, `report`, `figures`, `ending`, ...) and `history`, the
    figures of all epochs."""
    settings = dict(options or {})
    if epochs is not None:
        settings["train.epochs"] = epochs
    if seed is not None:
        settings["train.seed"] = seed
    if not isinstance(resume, bool):
        if settings or init is not None or out is not None:
            raise ValueError("a run that is resumed keeps its settings: give nothing but data and progress")
        if not os.path.exists(os.path.join(resume, "checkpoints/last.safetensors")):
            raise ValueError(f"{os.fspath(resume)} holds no checkpoint to go on from")
        out, resume = resume, True
    written = [(key, _toml(value)) for key, value in settings.items()]

    def listener(document: str) -> object:
        return progress(json.loads(document)) if progress else None

    done: dict[str, Any] = json.loads(_moue.train(os.fspath(arch), data, out, init, resume, written, listener))
    return done


@dataclass(frozen=True)
class Experiment:
    """A training of a comparison."""

    name: str
    """The architecture's name, followed by what was varied."""
    seed: int
    folder: str
    """Where its run belongs: `moue.train(arch, out=folder)`, with `config` written to the file `arch`."""
    config: str
    """The architecture file."""


def plan(
    archs: Sequence[str],
    data: str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str] = "runs/compare",
    vary: Sequence[str] = (),
    seeds: int = 1,
    epochs: int | None = None,
) -> list[Experiment]:
    """The trainings of `compare`, to do them elsewhere or side by side."""
    documents = _moue.plan((list(archs), list(vary), seeds, epochs), data, out)
    return [Experiment(**json.loads(document)) for document in documents]


def compare(
    archs: Sequence[str],
    data: str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str] = "runs/compare",
    vary: Sequence[str] = (),
    seeds: int = 1,
    epochs: int | None = None,
    train: bool = True,
) -> dict[str, Any]:
    """Trains architectures side by side, as `moue compare` does: every one in `archs`, in every variation
    (`"dropout.rate=0.1,0.5"`), with so many seeds. What is done in `out` is not done again; with `train=False` nothing
    is, and the comparison is of what is there. Writes `report.html`, and returns what `moue compare --json` prints."""
    found: dict[str, Any] = json.loads(_moue.compare((list(archs), list(vary), seeds, epochs), data, out, train))
    return found


def evaluate(
    model: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    tta: bool = False,
) -> dict[str, Any]:
    """Judges a model on a split, as `moue evaluate --json` does: accuracy with its interval, macro F1, calibration,
    figures of each class, confusion matrix. `tta` averages each image's answer with its mirror image's."""
    said: dict[str, Any] = json.loads(_moue.evaluate(model or "default", data, split, tta))
    return said


def _again(model: str | os.PathLike[str], min_face: int, min_score: float, threads: int) -> Predictor:
    return Predictor(model, min_face=min_face, min_score=min_score, threads=threads)


def _toml(value: object) -> str:
    """A value as an architecture file has it."""
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return "[" + ", ".join(json.dumps(one) for one in value) + "]"
    return json.dumps(value)


def _source(picture: Any) -> Any:
    """A picture as the compiled part takes it."""
    if isinstance(picture, (str, os.PathLike, bytes)):
        return picture
    if isinstance(picture, (bytearray, memoryview)):
        return bytes(picture)
    if hasattr(picture, "getexif"):
        from PIL import ImageOps

        upright = ImageOps.exif_transpose(picture)
        if upright.mode not in ("L", "RGB", "RGBA"):
            upright = upright.convert("RGBA" if "transparency" in upright.info or "A" in upright.mode else "RGB")
        return (upright.tobytes(), upright.height, upright.width, len(upright.getbands()))
    if hasattr(picture, "__array_interface__"):
        if str(picture.dtype) != "uint8":
            raise TypeError(f"the picture is {picture.dtype}; uint8 is needed")
        if picture.ndim not in (2, 3):
            raise ValueError(f"the picture has the shape {list(picture.shape)}; [H, W] or [H, W, C] is needed")
        return (picture.tobytes(), *picture.shape, *([1] if picture.ndim == 2 else []))
    raise TypeError(f"a picture is a path, bytes, a PIL image or an array, not {type(picture).__name__}")


def _prediction(document: dict[str, Any]) -> Prediction:
    faces = [Face(**{**face, "box": Box(**face["box"])}) for face in document.pop("faces")]
    return Prediction(faces=faces, **document)
