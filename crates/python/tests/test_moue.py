"""Tests of the package. The variable MOUE is the path of the `moue` program; without it, tests that compare with the
program are skipped."""

import json
import os
import pathlib
import pickle
import subprocess
import sys
import threading
import time

import moue
import numpy
import pytest
from PIL import Image

MOUE = os.environ.get("MOUE")
PHOTOS = pathlib.Path(os.environ.get("MOUE_TEST_DATA", "nowhere")) / "photos"
needs_program = pytest.mark.skipif(MOUE is None, reason="SKIPPED: MOUE does not name the program")
needs_photos = pytest.mark.skipif(not PHOTOS.exists(), reason="SKIPPED: MOUE_TEST_DATA has no photos")


def program(*arguments, code=0):
    result = subprocess.run([MOUE, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert result.returncode == code
    return result.stdout


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Synthetic faces as files and as an array."""
    folder = tmp_path_factory.mktemp("faces")
    images = moue.load().images[:20]
    paths = [folder / f"{number:02}.png" for number in range(len(images))]
    for path, image in zip(paths, images):
        Image.fromarray(image).save(path)
    return paths, images


@pytest.fixture(scope="session")
def predictor():
    return moue.Predictor()


def test_import_loads_no_other_packages_than_numpy():
    code = "import sys; before = set(sys.modules); import moue; print(*sorted(set(sys.modules) - before))"
    modules = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    others = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"moue"}
    assert others <= {"numpy"}


@needs_program
@pytest.mark.parametrize("model", ["default", "tiny"])
def test_predictions_for_faces_equal_those_of_the_command(faces, model):
    paths, images = faces
    lines = program("predict", *paths, "--no-detect", "--json", "--model", model).splitlines()
    rows = numpy.array([list(json.loads(line)["faces"][0]["probabilities"].values()) for line in lines], "f4")
    predictor = moue.Predictor(model)
    for array in (images, images.astype("f4"), images[..., None], numpy.asfortranarray(images)):
        probabilities = predictor.predict_faces(array)
        assert probabilities.dtype == numpy.float32
        numpy.testing.assert_allclose(probabilities, rows, atol=1e-6)


@needs_program
@needs_photos
def test_predictions_for_photos_equal_those_of_the_command(predictor):
    photos = sorted(PHOTOS.glob("*.jpg"))
    lines = program("predict", *photos, "--json").splitlines()
    for line, prediction in zip(lines, predictor.predict(photos), strict=True):
        expected = json.loads(line)
        assert prediction.input == expected["input"]
        assert [face.label for face in prediction.faces] == [face["label"] for face in expected["faces"]]
        for face, other in zip(prediction.faces, expected["faces"], strict=True):
            assert vars(face.box) == other["box"]
            assert face.probabilities == pytest.approx(other["probabilities"], abs=1e-6)
            assert face.uncertain == other["uncertain"] == (face.confidence < predictor.uncertain_below)


def test_all_picture_types_give_the_same_prediction(faces, predictor):
    path, image = faces[0][0], faces[1][0]
    expected = predictor.predict(path, detect=False).faces
    assert len(expected) == 1 and expected[0].box == moue.Box(0, 0, 48, 48)
    opened = Image.open(path)
    rgb = numpy.repeat(image[..., None], 3, axis=2)
    pictures = [str(path), path.read_bytes(), opened, opened.convert("RGB"), opened.convert("P")]
    pictures += [image, image[..., None], rgb]
    pictures.append(numpy.dstack([rgb, numpy.full((48, 48), 255, "u1")]))
    pictures.append(numpy.asfortranarray(rgb))
    for prediction in predictor.predict(pictures, detect=False):
        assert prediction.error is None
        assert prediction.faces[0].probabilities == pytest.approx(expected[0].probabilities, abs=2e-3)


def test_a_truncated_picture_is_an_error_unless_allowed(tmp_path, predictor):
    image = pytest.importorskip("PIL.Image")
    image.effect_noise((120, 120), 60).save(tmp_path / "noise.jpg", progressive=True)
    cut = (tmp_path / "noise.jpg").read_bytes()[:-500]
    with pytest.raises(ValueError, match="truncated JPEG"):
        predictor.predict(cut, detect=False)
    assert "truncated" in predictor.predict(cut, detect=False, allow_truncated=True).warning


def test_an_unreadable_picture_does_not_stop_a_batch(faces, predictor):
    predictions = predictor.predict([b"no picture", faces[0][0], "nowhere.jpg"], detect=False)
    assert [prediction.error is None for prediction in predictions] == [False, True, False]
    assert predictions[0].faces == [] and "not a PNG" in predictions[0].error
    with pytest.raises(ValueError, match="nowhere.jpg: No such file"):
        predictor.predict("nowhere.jpg")


@pytest.mark.parametrize(
    ("picture", "error", "message"),
    [
        (3, TypeError, "must be a path, bytes, a PIL image or an array, not int"),
        (numpy.zeros((4, 4)), TypeError, "float64; use uint8"),
        (numpy.zeros(4, "u1"), ValueError, r"shape \[4\]; use \[H, W\]"),
        (numpy.zeros((0, 4), "u1"), ValueError, "an array of this shape is not a picture"),
        (numpy.zeros((4, 4, 2), "u1"), ValueError, "an array of this shape is not a picture"),
    ],
)
def test_invalid_pictures_raise(predictor, picture, error, message):
    with pytest.raises(error, match=message):
        predictor.predict(picture)


@pytest.mark.parametrize(
    ("faces", "error", "message"),
    [
        (numpy.zeros((2, 48, 47), "u1"), ValueError, r"\[2, 48, 47\], but the model takes \[N, 48, 48\]"),
        (numpy.zeros((48, 48), "u1"), ValueError, r"\[48, 48\], but the model takes"),
        (numpy.zeros((2, 48, 48)), TypeError, "float64; use uint8 or float32"),
    ],
)
def test_invalid_face_arrays_raise(predictor, faces, error, message):
    with pytest.raises(error, match=message):
        predictor.predict_faces(faces)


def test_empty_inputs_give_empty_results(predictor):
    assert predictor.predict_faces(numpy.zeros((0, 48, 48), "u1")).shape == (0, 7)
    assert predictor.predict([]) == []


def test_predict_faces_releases_the_gil(predictor):
    faces, count, done = numpy.zeros((4000, 48, 48), "u1"), 0, threading.Event()
    worker = threading.Thread(target=lambda: (predictor.predict_faces(faces), done.set()))
    worker.start()
    while not done.is_set():
        count += 1
        time.sleep(0.001)
    worker.join()
    assert count > 20


def test_predictors_can_be_pickled(faces):
    predictor = pickle.loads(pickle.dumps(moue.Predictor("tiny", threads=1)))
    assert repr(predictor) == "moue.Predictor('tiny')"
    probabilities = predictor.predict_faces(faces[1])
    numpy.testing.assert_array_equal(probabilities, moue.Predictor("tiny").predict_faces(faces[1]))


def test_predictors_have_a_precision(faces):
    assert moue.Predictor("tiny").precision == "f32"
    predictor = pickle.loads(pickle.dumps(moue.Predictor("tiny", precision="bf16")))
    assert predictor.precision == "bf16"
    assert predictor.predict_faces(faces[1]).shape == (20, 7)
    assert moue.Predictor("tiny", precision="int8").precision == "int8"
    assert moue.Predictor("tiny", precision="auto").precision in ("f32", "bf16", "int8")
    with pytest.raises(ValueError, match="there is no precision `f64`; use f32, bf16, int8 or auto"):
        moue.Predictor("tiny", precision="f64")


def test_devices_are_chosen_by_name():
    assert moue.Predictor("tiny").device == "cpu"
    assert moue.Predictor("tiny", device="cpu").device == "cpu"
    with pytest.raises(ValueError, match="there is no device `cuda`; use cpu, gpu, auto"):
        moue.Predictor("tiny", device="cuda")
    # The wheel of the tests is built without the feature.
    for call in (lambda: moue.Predictor("tiny", device="gpu"), lambda: moue.train("small", device="gpu:0")):
        with pytest.raises(ValueError, match="this wheel computes on the CPU only"):
            call()


def test_trainings_record_their_precision(tmp_path):
    settings = {"epochs": 1, "options": {"image_size": "24x24"}}
    run = moue.train("small", out=tmp_path / "run", precision="bf16", **settings)
    assert 'precision = "bf16"' in (tmp_path / "run/config.toml").read_text()
    for precision in ("f32", "bf16"):
        evaluated = moue.evaluate(run["model"], split="validation", precision=precision)
        assert evaluated["precision"] == precision
    plan = moue.plan(["small"], out=tmp_path, epochs=1, precision="bf16")
    assert ['precision = "bf16"' in experiment.config for experiment in plan] == [True]
    moue.train("small", out=tmp_path / "plain", precision="f32", **settings)
    assert "precision" not in (tmp_path / "plain/config.toml").read_text()
    with pytest.raises(ValueError, match="a resumed run keeps its settings"):
        moue.train(resume=tmp_path / "run", precision="f32")


def test_an_unknown_model_raises():
    with pytest.raises(ValueError, match="there is no model file or bundled model `nowhere.safetensors`"):
        moue.Predictor("nowhere.safetensors")


def test_synthetic_faces_can_be_loaded():
    data = moue.load(image_size=(24, 20), channels=3)
    assert data.images.shape == (len(data), 24, 20, 3)
    assert data.classes == moue.Predictor().classes
    assert set(data.splits) == {"train", "validation", "test"}
    assert len(data.ids) == len(data)


def test_training_reports_epochs_and_can_be_stopped_and_resumed(tmp_path):
    def stop_after_two(epoch):
        seen.append(epoch["epoch"])
        return epoch["epoch"] < 2

    seen, settings = [], {"epochs": 3, "seed": 5, "options": {"image_size": "24x24", "train.schedule": "constant"}}
    run = moue.train("small", out=tmp_path / "run", progress=stop_after_two, **settings)
    assert seen == [1, 2] and run["ending"] == "interrupted"
    run = moue.train(resume=tmp_path / "run", progress=lambda epoch: seen.append(epoch["epoch"]))
    assert seen == [1, 2, 3] and run["ending"] == "finished" and len(run["history"]) == 3
    uninterrupted = moue.train("small", out=tmp_path / "uninterrupted", **settings)
    assert pathlib.Path(run["model"]).read_bytes() == pathlib.Path(uninterrupted["model"]).read_bytes()
    evaluated = moue.evaluate(run["model"], split="validation")
    assert evaluated["accuracy"] == run["figures"]["accuracy"] and evaluated["n"] == run["figures"]["n"]


def test_an_exception_in_the_callback_stops_the_training(tmp_path):
    def fail(epoch):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        moue.train("small", out=tmp_path / "run", epochs=3, options={"image_size": "24x24"}, progress=fail)
    assert moue.train(resume=tmp_path / "run")["ending"] == "finished"


def test_invalid_settings_raise(tmp_path):
    with pytest.raises(ValueError, match="train.epoks=1: unknown field `epoks`"):
        moue.train("small", out=tmp_path / "run", options={"train.epoks": 1})
    with pytest.raises(ValueError, match="a resumed run keeps its settings"):
        moue.train(resume=tmp_path / "run", epochs=3)
    with pytest.raises(ValueError, match="data="):
        moue.evaluate()


@needs_program
def test_evaluation_equals_that_of_the_command(tmp_path):
    program("data", "draw", tmp_path / "faces", "--count", 70, "--quiet")
    expected = json.loads(program("evaluate", "tiny", "--data", tmp_path / "faces", "--tta", "--json", "--quiet"))
    assert moue.evaluate("tiny", tmp_path / "faces", tta=True) == expected


def test_the_notebook_runs(tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib", reason="SKIPPED: there is no matplotlib")
    matplotlib.use("Agg")
    notebook = pathlib.Path(__file__).parents[1] / "notebook/tutorial.ipynb"
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(compile(code.replace("epochs=12", "epochs=1"), str(notebook), "exec"), scope)
    assert scope["metrics"]["n"] == 840


def test_experiments_trained_elsewhere_are_collected(tmp_path):
    settings = {"vary": ["image_size=24x24", "dropout.rate=0.1,0.4"], "epochs": 2}
    plan = moue.plan(["small"], out=tmp_path, **settings)
    assert [experiment.name for experiment in plan] == [
        "small image_size=24x24 dropout.rate=0.1",
        "small image_size=24x24 dropout.rate=0.4",
    ]
    for number, experiment in enumerate(plan):
        arch = tmp_path / f"{number}.toml"
        arch.write_text(experiment.config)
        # The second training is stopped after its first epoch.
        moue.train(arch, out=experiment.folder, resume=True, progress=lambda epoch: number == 0)
    comparison = moue.compare(["small"], out=tmp_path, train=False, **settings)
    assert [row["runs"][0]["finished"] for row in comparison["rows"]] == [True, False]
    assert [row["runs"][0]["last"]["epoch"] for row in comparison["rows"]] == [2, 1]
    assert "dropout.rate=0.4" in (tmp_path / "report.html").read_text()
    assert moue.compare(["small"], out=tmp_path, **settings)["complete"]


SPACE = """
[space]
filters = { choices = [4, 8] }
train.learning_rate = { min = 0.001, max = 0.1, log = true }
dropout.rate = { min = 0.0, max = 0.4, step = 0.1, when = { filters = 8 } }

[model]
name = "searched"
input = [16, 16, 1]
layers = [
  { kind = "conv2d", filters = "$filters", strides = 2, padding = "same", activation = "relu" },
  { kind = "dropout", rate = 0.0 },
  { kind = "global_average_pooling2d" },
  { kind = "dense", units = "classes", activation = "softmax" },
]
"""


def test_a_search_reports_its_trials_and_continues(tmp_path):
    (tmp_path / "space.toml").write_text(SPACE)
    settings = {"trials": 4, "epochs": 3, "seeds": 2, "options": {"data.train_fraction": 0.1}}
    seen = []
    first = moue.tune(tmp_path / "space.toml", out=tmp_path / "found", callback=lambda trial: seen.append(trial) or False, **settings)
    assert not first["complete"] and len(seen) == 1 and set(seen[0]["values"]) >= {"filters", "train.learning_rate"}
    whole = moue.tune(tmp_path / "space.toml", out=tmp_path / "found", callback=seen.append, **settings)
    assert whole["complete"] and len(whole["trials"]) == 4 and len(whole["best"]["seeds"]) == 2
    assert sum(trial["best"] for trial in seen) >= 1
    other = moue.tune(tmp_path / "space.toml", out=tmp_path / "other", workers=2, **settings)
    assert (tmp_path / "found/trials.csv").read_bytes() == (tmp_path / "other/trials.csv").read_bytes()
    assert other["best"]["value"] == whole["best"]["value"]
    for wrong in [{"budget": "long"}, {"budget": "1m", "trials": 3}, {"trials": 3, "metric": "acc"}]:
        with pytest.raises(ValueError, match="time|either|acc"):
            moue.tune(tmp_path / "space.toml", out=tmp_path / "wrong", **wrong)


def test_a_space_describes_its_parameters(tmp_path):
    (tmp_path / "space.toml").write_text(SPACE)
    space = moue.space(tmp_path / "space.toml")
    described = {parameter["name"]: parameter for parameter in space.parameters}
    assert described["filters"]["choices"] == [4, 8] and described["train.learning_rate"]["log"]
    assert described["dropout.rate"]["when"] == {"filters": [8]} and described["dropout.rate"]["step"] == 0.1
    values = {"filters": 4, "train.learning_rate": 0.02, "dropout.rate": 0.3}
    config = space.config(values, epochs=7, seed=5)
    assert "filters = 4" in config and "rate = 0.0" in config and "epochs = 7" in config and "seed = 5" in config
    assert "rate = 0.3" in space.config({**values, "filters": 8})
