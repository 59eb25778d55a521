"""Predict facial expressions, and train and compare classifiers for them.

    import moue
    for face in moue.Predictor().predict("photo.jpg").faces:
        print(face.label, face.confidence)

An expression is an appearance: it does not determine what a person feels. The EU AI Act bans inferring emotions at work
and in education."""

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
    "Audit",
    "Box",
    "Dataset",
    "Experiment",
    "Face",
    "Point",
    "Prediction",
    "Predictor",
    "Space",
    "audit",
    "compare",
    "evaluate",
    "load",
    "plan",
    "space",
    "train",
    "tune",
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
class Point:
    """A point in a picture, in pixels."""

    x: float
    y: float


@dataclass(frozen=True)
class Face:
    """A face and its predicted expression."""

    box: Box
    label: str
    """The predicted class: the one with the highest probability."""
    confidence: float
    """The probability of the predicted class."""
    uncertain: bool
    """Whether the confidence is below the model's threshold."""
    probabilities: dict[str, float]
    """The probability of each class."""
    score: float | None
    """The detector's score, 0–1; None without a detector."""
    landmarks: tuple[Point, ...] | None
    """Right eye, left eye, nose, right and left corner of the mouth, as the person has them; None where the whole
    picture is the face."""
    roll: float | None
    """The angle of the line through the eyes in degrees, clockwise; None without landmarks."""


@dataclass(frozen=True)
class Prediction:
    """The prediction for one picture."""

    input: str
    """The file, `<bytes>` or `<pixels>`."""
    width: int
    height: int
    faces: list[Face]
    """The faces from left to right; empty where no face was found."""
    warning: str | None
    """Why the faces may be wrong although the picture was predicted; None usually."""
    error: str | None
    """Why there is no prediction; None on success."""


class Predictor:
    """A model that is ready to predict. It can be shared between threads and pickled.

    Parameters
    ----------
    model
        A model file (safetensors or ONNX), or the name of a bundled model: `"default"`, `"fer2013"` or `"tiny"`.
    min_face
        The side of the smallest face that is detected, √(width × height) in pixels; smaller values search large
        pictures in more detail. By default 16 pixels where the picture is scaled to 640 pixels.
    min_score
        The minimum score of a face, 0–1 (0.7 by default); a higher value gives fewer and more reliable faces.
    threads
        The number of threads; all cores by default.
    precision
        The precision of the classifier: `"f32"`, `"bf16"`, `"int8"`, or `"auto"` for the fastest on this machine. Faces are
        detected in f32.
    device
        The device of the classifier: `"cpu"`, `"gpu"`, `"gpu:N"`, or `"auto"` for a GPU if there is one. Faces are detected on
        the CPU."""

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        min_face: int | None = None,
        min_score: float | None = None,
        threads: int | None = None,
        precision: str = "f32",
        device: str = "cpu",
    ) -> None:
        self._model = model or "default"
        self._options = (min_face or 0, min_score or 0.0, threads or 0, precision, device)
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
        """Height, width and channels of the face images that the network takes."""
        return self._inner.input_shape

    @property
    def uncertain_below(self) -> float:
        """Predictions with a lower confidence are marked as uncertain."""
        return self._inner.uncertain_below

    @property
    def precision(self) -> str:
        """The precision of the classifier: `"f32"`, `"bf16"` or `"int8"`."""
        return self._inner.precision

    @property
    def device(self) -> str:
        """The device of the classifier: `"cpu"`, or the name of a GPU."""
        return self._inner.device

    @overload
    def predict(
        self, picture: Picture, detect: bool = True, allow_truncated: bool = False, tta: str | None = None
    ) -> Prediction: ...
    @overload
    def predict(
        self,
        picture: list[Picture] | tuple[Picture, ...],
        detect: bool = True,
        allow_truncated: bool = False,
        tta: str | None = None,
    ) -> list[Prediction]: ...
    def predict(
        self, picture: Any, detect: bool = True, allow_truncated: bool = False, tta: str | None = None
    ) -> Any:
        """Detects the faces in a picture and predicts their expressions; with `detect=False` the whole picture is one
        face.

        A picture is a path, an image file's bytes, a `PIL.Image`, or an array `[H, W]` or `[H, W, C]` of uint8 (1, 3 or
        4 channels: gray, RGB, RGBA). A list of pictures is predicted in parallel and gives a list of predictions; a
        picture in it that cannot be read gives a prediction with an `error`. A single picture that cannot be read
        raises `ValueError`. A truncated file cannot be read; with `allow_truncated=True` its available part is
        predicted, with a `warning`.

        `tta="flip"` averages the prediction over each face and its mirror image, `tta="crops"` over ten crops."""
        if isinstance(picture, (list, tuple)):
            documents = self._inner.predict([_source(one) for one in picture], detect, allow_truncated, tta)
            return [_prediction(json.loads(document)) for document in documents]
        (prediction,) = self.predict([picture], detect, allow_truncated, tta)
        if prediction.error is not None:
            raise ValueError(f"{prediction.input}: {prediction.error}")
        return prediction

    def predict_faces(self, faces: NDArray[numpy.uint8] | NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        """Probabilities `[N, classes]` of face images `[N, H, W]` or `[N, H, W, C]` of `input_shape`, uint8 or float32,
        0-255.

        A C-contiguous array is read without a copy. The GIL is released during the prediction."""
        import numpy

        height, width, channels = self.input_shape
        shape = faces.shape if faces.ndim == 4 else (*faces.shape, 1)
        if shape[1:] != (height, width, channels):
            expected = f"[N, {height}, {width}{f', {channels}' if channels > 1 else ''}]"
            raise ValueError(f"the faces have shape {list(faces.shape)}, but the model takes {expected}")
        if faces.dtype not in (numpy.uint8, numpy.float32):
            raise TypeError(f"the faces have dtype {faces.dtype}; use uint8 or float32 with values from 0 to 255")
        array: Any = numpy.ascontiguousarray(faces)
        return self._inner.predict_faces(array).reshape(len(faces), len(self.classes))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with labels and splits."""

    images: NDArray[numpy.uint8]
    """`[N, H, W]`, or `[N, H, W, 3]` for RGB."""
    labels: NDArray[numpy.uint32]
    """The class index of each image."""
    classes: list[str]
    splits: NDArray[numpy.str_]
    """The split of each image: `train`, `validation` or `test`."""
    ids: list[str]
    """The row (from 0) or path of each image in the source."""

    def __len__(self) -> int:
        return len(self.labels)


def load(
    data: str | os.PathLike[str] | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int = 1,
    seed: int = 0,
) -> Dataset:
    """Loads a data set as downloaded (CSV or image folders, compressed or not). Without `data`, synthetic faces are
    generated.

    `image_size` is height and width; by default, those of the first image (48 x 48 for synthetic faces). Where the
    source has no validation split, `seed` selects the tenth of the training images that is used for validation."""
    import numpy

    pixels, labels, document = _moue.load(data, image_size or (None if data else (48, 48)), channels, seed)
    fields = json.loads(document)
    shape = fields.pop("shape")
    images = pixels.reshape(shape if channels > 1 else shape[:3])
    return Dataset(images=images, labels=labels, **{**fields, "splits": numpy.array(fields["splits"])})


def train(
    arch: str | os.PathLike[str] = "small",
    data: str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | bool = False,
    votes: str | os.PathLike[str] | None = None,
    fixes: str | os.PathLike[str] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    options: Mapping[str, object] | None = None,
    precision: str | None = None,
    device: str = "cpu",
    progress: Callable[[dict[str, Any]], object] | None = None,
) -> dict[str, Any]:
    """Trains a network and writes a run folder, as `moue train` does.

    Parameters
    ----------
    arch
        A preset's name or a TOML file.
    data
        A data set as downloaded; synthetic faces by default.
    out
        The run folder.
    init
        A model that initializes the weights.
    resume
        A run folder to resume. `True` resumes the run in `out` where there is one, for jobs that may be killed and
        restarted.
    votes
        A CSV of people's votes on the images, to train on instead of the labels.
    fixes
        A CSV of corrections of labels and images, as the page of an audit exports it.
    options
        Any keys of the architecture file, for example
        `{"train.learning_rate": 0.01, "augment.mixup": 0.2, "dropout.rate": 0.5}`.
    precision
        `"f32"`, `"bf16"`, or `"auto"` for the fastest on this machine; the architecture file's by default.
    device
        `"cpu"`, `"gpu"`, `"gpu:N"`, or `"auto"` for a GPU if there is one. A run may be resumed on another device.
    progress
        A function that is called after each epoch with its metrics. The training stops when it returns `False` or
        raises, or at Ctrl-C, and can be resumed.

    Returns
    -------
    The document that `moue train --json` prints (`run`, `model`, `report`, `figures`, `ending`, ...), with the metrics
    of all epochs under `history`."""
    settings = dict(options or {})
    if epochs is not None:
        settings["train.epochs"] = epochs
    if seed is not None:
        settings["train.seed"] = seed
    if not isinstance(resume, bool):
        if settings or votes is not None or fixes is not None or init is not None or out is not None or precision is not None:
            raise ValueError("a resumed run keeps its settings; pass only data, device and progress with resume")
        if not os.path.exists(os.path.join(resume, "checkpoints/last.safetensors")):
            raise ValueError(f"{os.fspath(resume)} contains no checkpoint to resume from")
        out, resume = resume, True
    assignments = [(key, _toml(value)) for key, value in settings.items()]

    def listener(document: str) -> object:
        return progress(json.loads(document)) if progress else None

    document = _moue.train(os.fspath(arch), data, out, init, resume, votes, fixes, assignments, precision, device, listener)
    run: dict[str, Any] = json.loads(document)
    return run


@dataclass(frozen=True)
class Experiment:
    """One training run of a comparison."""

    name: str
    """The architecture's name, followed by the varied options."""
    seed: int
    folder: str
    """The run folder: call `moue.train(arch, out=folder)`, with `config` written to the file `arch`."""
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
    precision: str | None = None,
    device: str = "cpu",
) -> list[Experiment]:
    """The training runs of `compare` on a device, to run them elsewhere or in parallel."""
    documents = _moue.plan((list(archs), list(vary), seeds, epochs, precision), data, out, device)
    return [Experiment(**json.loads(document)) for document in documents]


def compare(
    archs: Sequence[str],
    data: str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str] = "runs/compare",
    vary: Sequence[str] = (),
    seeds: int = 1,
    epochs: int | None = None,
    precision: str | None = None,
    device: str = "cpu",
    train: bool = True,
) -> dict[str, Any]:
    """Trains and compares architectures, as `moue compare` does: each one in `archs`, with each variation
    (`"dropout.rate=0.1,0.5"`) and `seeds` seeds. `precision` is that of every training (`"f32"`, `"bf16"` or `"auto"`),
    by default the architecture file's, and `device` the device (`"cpu"`, `"gpu"`, `"gpu:N"` or `"auto"`). Finished runs in `out` are reused. With `train=False` nothing is
    trained, and the existing runs are compared. Writes `report.html`, and returns the document that
    `moue compare --json` prints."""
    experiments = (list(archs), list(vary), seeds, epochs, precision)
    comparison: dict[str, Any] = json.loads(_moue.compare(experiments, data, out, train, device))
    return comparison


def tune(
    space: str | os.PathLike[str] = "tutorial",
    data: str | os.PathLike[str] | None = None,
    *,
    budget: str | float | None = None,
    trials: int | None = None,
    out: str | os.PathLike[str] | None = None,
    metric: str = "accuracy",
    sampler: str = "tpe",
    early_stopping: bool = True,
    epochs: int | None = None,
    workers: int = 1,
    seeds: int = 3,
    test: bool = False,
    seed: int | None = None,
    options: Mapping[str, object] | None = None,
    precision: str | None = None,
    device: str = "cpu",
    callback: Callable[[dict[str, Any]], object] | None = None,
) -> dict[str, Any]:
    """Searches for a good configuration, as `moue tune` does, and trains the best one again with other seeds.

    Parameters
    ----------
    space
        A search space (`"tutorial"` or a TOML file with `[space]`), or a preset or an architecture file, whose training
        options are searched.
    data
        A data set as downloaded; synthetic faces by default.
    budget
        Time for everything, in seconds or as `"90s"`, `"30m"` or `"2h"`; ten minutes by default.
    trials
        A number of trials instead of a budget; they are then equal for any number of workers.
    out
        The folder of the search. A search that was interrupted continues in it.
    metric
        `"accuracy"`, `"macro_f1"` or `"loss"`, on the validation split.
    sampler
        `"tpe"` or `"random"`.
    early_stopping
        Whether weak trials are stopped early.
    epochs
        Epochs of a whole training; the space's by default, or fewer where the budget requires it.
    workers
        Number of trials that are trained at the same time.
    seeds
        Number of seeds that the best configuration is trained with.
    test
        Whether it is also evaluated on the test split, once.
    options
        Options of all trials, by their key in the architecture file.
    precision
        `"f32"`, `"bf16"` or `"auto"`.
    device
        `"cpu"`, `"gpu"`, `"gpu:N"`, or `"auto"` for a GPU if there is one.
    callback
        A function that is called when a trial has reached a rung, with its `trial`, `epochs`, `values`, `value`, `best`
        and `error`. The search stops when it returns `False` or raises, or at Ctrl-C, and can be continued.

    Returns
    -------
    The document that `moue tune --json` prints."""
    if budget is None and trials is None:
        budget = "10m"
    time = f"{budget}s" if isinstance(budget, (int, float)) else budget
    settings = (metric, sampler, early_stopping, epochs, workers, seeds, test, precision, device)
    assignments = [(key, _toml(value)) for key, value in (options or {}).items()]

    def listener(document: str) -> object:
        return callback(json.loads(document)) if callback else None

    document = _moue.tune(os.fspath(space), data, out, (time, trials), settings, assignments, seed, listener)
    found: dict[str, Any] = json.loads(document)
    return found


@dataclass(frozen=True)
class Space:
    """A search space, for other programs that search, such as Ray Tune."""

    name: str
    parameters: list[dict[str, Any]]
    """Each has a `name` and either `choices`, or `min` and `max` with `log`, `step` (or `None`) and `integer`; `when`
    has the values of other parameters with which it is active."""

    def config(self, values: Mapping[str, object], *, epochs: int | None = None, seed: int | None = None) -> str:
        """The architecture file of these values, which may include parameters that are not active."""
        return _moue.space_config(self.name, json.dumps(dict(values)), epochs, seed)


def space(name: str | os.PathLike[str] = "tutorial") -> Space:
    """Opens a search space, by its name or as a TOML file, or the training options of a preset."""
    name = os.fspath(name)
    return Space(name=name, parameters=[json.loads(document) for document in _moue.space(name)])


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of `moue.audit`. Arrays have one element for each image of the data set, in its order."""

    document: dict[str, Any]
    """Counts and estimates: the document that `moue data audit --json` prints."""
    scores: dict[str, Any]
    """The columns of `scores.csv`, without probabilities: `pandas.DataFrame(audit.scores)` is a table of all images.
    `self_confidence`, `margin` and `distance` are arrays, NaN for images whose labels were not audited."""
    issues: dict[str, Any]
    """The columns of `issues.csv`: `pandas.DataFrame(audit.issues)` is a table of the images with issues, label issues
    first, worst first."""
    probabilities: NDArray[numpy.float32]
    """Out-of-fold probabilities of the audited images, `[audited, classes]`."""
    audited: NDArray[numpy.uint32]
    """The index in the data set of each row of `probabilities`."""


def audit(
    data: str | os.PathLike[str],
    *,
    folds: int = 5,
    arch: str | os.PathLike[str] | None = None,
    epochs: int | None = None,
    model: str | os.PathLike[str] | None = None,
    split: str | None = None,
    fixes: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    options: Mapping[str, object] | None = None,
    precision: str | None = None,
    callback: Callable[[dict[str, Any]], object] | None = None,
) -> Audit | None:
    """Finds wrong labels and other issues of a data set, as `moue data audit` does, and writes the same files to `out`.

    Parameters
    ----------
    data
        A data set as downloaded.
    folds
        Number of folds: each part is predicted by a network that is trained on the others.
    arch
        A preset or an architecture file; `small` by default.
    epochs
        Epochs of each training.
    model
        A model that has not seen the data, in place of training.
    split
        The split whose labels are audited, or `"all"`; the training split by default.
    fixes
        A CSV of corrections that are applied first.
    out
        The folder for the results; `runs/audit` by default. An audit that was interrupted continues in it.
    options
        Options of the architecture file, by their key.
    precision
        `"f32"`, `"bf16"` or `"auto"`.
    callback
        A function that is called after each epoch, with `fold`, `folds`, `epoch`, `epochs`, `loss` and `agreement`. The
        audit stops when it returns `False` or raises, or at Ctrl-C, and can be continued.

    Returns
    -------
    The results; `None` when the callback stopped the audit."""
    import numpy

    architecture = None if arch is None else os.fspath(arch)
    settings = (folds, epochs, architecture, model, split, fixes, precision)
    assignments = [(key, _toml(value)) for key, value in (options or {}).items()]

    def listener(document: str) -> object:
        return callback(json.loads(document)) if callback else None

    found = _moue.audit(data, out, settings, assignments, seed, listener)
    if found is None:
        return None
    document, text, audited, rows = found
    columns = json.loads(text)
    order, scores = columns.pop("order"), columns.pop("scores")
    picked = {"id": "id", "given": "given", "suggested": "suggested", "kinds": "kinds"}
    issues: dict[str, Any] = {name: [columns[own][image] for image in order] for name, own in picked.items()}
    issues["score"] = numpy.array([scores[image] for image in order], "f4")
    for name in ("self_confidence", "margin", "distance"):
        columns[name] = numpy.array([float("nan") if value is None else value for value in columns[name]], "f4")
    described: dict[str, Any] = json.loads(document)
    return Audit(described, columns, issues, rows.reshape(len(audited), -1), audited)


def evaluate(
    model: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    tta: bool | str = False,
    precision: str = "f32",
    device: str = "cpu",
    votes: str | os.PathLike[str] | None = None,
    fixes: str | os.PathLike[str] | None = None,
    corruptions: str | None = None,
) -> dict[str, Any]:
    """Evaluates a model on a split, as `moue evaluate --json` does: accuracy with its confidence interval,
    macro F1, calibration, metrics of each class, confusion matrix. `tta=True` or `"flip"` averages each
    prediction over the image and its mirror image, `"crops"` over ten crops. `votes` is a file of people's
    votes, to compare with; `fixes` a CSV of corrections of labels and images. `corruptions` (`"all"` or
    `"robust10"`) evaluates on corrupted images, too.
    `precision` is that of the predictions: `"f32"`, `"bf16"`, `"int8"` or `"auto"`; `device` is `"cpu"`, `"gpu"`, `"gpu:N"` or
    `"auto"`."""
    method = "flip" if tta is True else tta or None
    document = _moue.evaluate(model or "default", data, split, method, precision, device, votes, fixes, corruptions)
    metrics: dict[str, Any] = json.loads(document)
    return metrics


def _again(
    model: str | os.PathLike[str], min_face: int, min_score: float, threads: int, precision: str, device: str
) -> Predictor:
    return Predictor(
        model, min_face=min_face, min_score=min_score, threads=threads, precision=precision, device=device
    )


def _toml(value: object) -> str:
    """A value in the syntax of an architecture file."""
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return "[" + ", ".join(json.dumps(one) for one in value) + "]"
    return json.dumps(value)


def _source(picture: Any) -> Any:
    """A picture in the form that the extension module takes."""
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
            raise TypeError(f"the picture has dtype {picture.dtype}; use uint8")
        if picture.ndim not in (2, 3):
            raise ValueError(f"the picture has shape {list(picture.shape)}; use [H, W] or [H, W, C]")
        return (picture.tobytes(), *picture.shape, *([1] if picture.ndim == 2 else []))
    raise TypeError(f"a picture must be a path, bytes, a PIL image or an array, not {type(picture).__name__}")


def _prediction(document: dict[str, Any]) -> Prediction:
    return Prediction(faces=[_face(face) for face in document.pop("faces")], **document)


def _face(face: dict[str, Any]) -> Face:
    points = face.pop("landmarks")
    landmarks = None if points is None else tuple(Point(**point) for point in points)
    return Face(box=Box(**face.pop("box")), landmarks=landmarks, **face)
