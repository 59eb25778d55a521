"""Tests of the examples for Ray, on a cluster of two nodes on this machine, one of which is killed during the work."""

import json
import os
import pathlib
import sys
import threading
import time

import pytest

ray = pytest.importorskip("ray", reason="SKIPPED: there is no ray")
pytest.importorskip("ray.data", reason="SKIPPED: ray is without its data extra")
from ray.cluster_utils import Cluster  # noqa: E402

import moue  # noqa: E402
from PIL import Image  # noqa: E402

EXAMPLES = str(pathlib.Path(__file__).resolve().parents[3] / "examples")
sys.path.insert(0, EXAMPLES)


@pytest.fixture
def cluster(monkeypatch):
    """A head node and a second node, with one core each."""
    monkeypatch.setenv("PYTHONPATH", EXAMPLES)
    monkeypatch.setenv("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    store = 150 * 1024 * 1024
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": store})
    cluster.second = cluster.add_node(num_cpus=1, object_store_memory=store)
    ray.init(address=cluster.address, runtime_env={"env_vars": {"PYTHONPATH": EXAMPLES}}, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Synthetic faces, and a file that is not an image."""
    folder = tmp_path_factory.mktemp("pictures")
    images = moue.load().images
    for number in range(800):
        Image.fromarray(images[number]).resize((192, 192)).save(folder / f"{number:04}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


class Killer(threading.Thread):
    """Kills the second node when `after` returns true, and stores what `done` returned before that."""

    def __init__(self, cluster, after, done):
        super().__init__(daemon=True)
        self.cluster, self.after, self.done, self.at = cluster, after, done, None
        self.start()

    def run(self):
        while not self.after():
            time.sleep(0.05)
        self.at = self.done()
        self.cluster.remove_node(self.cluster.second, allow_graceful=False)

    def done_when_killed(self):
        self.join(timeout=60)
        assert self.at is not None, "the node was killed while there was work"
        return self.at


def rows(out):
    import pyarrow.parquet

    return pyarrow.parquet.read_table(out).to_pylist()


def test_every_picture_is_predicted_once_though_a_node_is_killed(cluster, pictures, tmp_path):
    import ray_annotate

    out = tmp_path / "out"
    busy = lambda: any(out.glob("*.parquet")) and len(ray.nodes()) > 1
    written = lambda: len(list(out.glob("*.parquet")))
    killer = Killer(cluster, busy, written)
    ray_annotate.annotate(str(pictures), str(out), model="tiny", workers=2, batch_size=16)
    assert 0 < killer.done_when_killed() < written()
    print(f"{killer.at} of {written()} files were written when the node was killed")
    predicted = rows(out)
    names = sorted(os.path.basename(row["path"]) for row in predicted)
    assert names == sorted(path.name for path in pictures.iterdir())
    (broken,) = [row for row in predicted if row["error"]]
    assert broken["path"].endswith("broken.png") and broken["faces"] == []
    predictor = moue.Predictor("tiny")
    for row in predicted[::300]:
        if not row["error"]:
            faces = predictor.predict(row["path"]).faces
            assert [face["label"] for face in row["faces"]] == [face.label for face in faces]
            for stored, face in zip(row["faces"], faces, strict=True):
                assert stored["box"] == vars(face.box)
                assert dict(stored["probabilities"]) == pytest.approx(face.probabilities, abs=1e-6)


def test_parquet_can_be_the_source(cluster, pictures, tmp_path):
    import pyarrow
    import pyarrow.parquet
    import ray_annotate

    files = sorted(pictures.glob("000*.png"))
    table = pyarrow.table({"id": list(range(10)), "image": [path.read_bytes() for path in files]})
    pyarrow.parquet.write_table(table, tmp_path / "in.parquet")
    source, out = str(tmp_path / "in.parquet"), str(tmp_path / "out")
    ray_annotate.annotate(source, out, column="image", model="tiny", detect=False)
    predicted = {row["id"]: row for row in rows(out)}
    assert sorted(predicted) == list(range(10)) and "image" not in predicted[0]
    assert all(len(row["faces"]) == 1 for row in predicted.values())


def test_every_trial_is_finished_though_a_node_is_killed(cluster, tmp_path):
    import ray_compare

    out = tmp_path / "compare"
    runs = out / "runs"
    started = lambda: len(list(runs.glob("*/metrics.csv"))) >= 2
    lines = lambda: [len(path.read_text().splitlines()) for path in runs.glob("*/metrics.csv")]
    killer = Killer(cluster, started, lines)
    vary = ["image_size=24x24", "train.learning_rate=0.001,0.01,0.1,0.3"]
    comparison, results = ray_compare.compare(["small"], None, out, vary=vary, epochs=4, early=False)
    assert sum(killer.done_when_killed()) < 4 * 5, "the node was killed while there was work"
    assert len(results) == 4 and results.num_errors == 0
    assert comparison["complete"] and [row["runs"][0]["last"]["epoch"] for row in comparison["rows"]] == [4] * 4
    assert json.loads((out / "comparison.json").read_text())["rows"] == comparison["rows"]
    # Bit-identical to the result on one machine.
    vary = ["image_size=24x24", "train.learning_rate=0.01"]
    local = moue.compare(["small"], out=tmp_path / "local", vary=vary, epochs=4)
    accuracy = local["rows"][0]["best_validation_accuracy"]
    assert accuracy == comparison["rows"][1]["best_validation_accuracy"]


def test_trials_with_low_accuracy_are_stopped_early(cluster, tmp_path):
    import ray_compare

    vary = ["image_size=24x24", "train.learning_rate=0.1,0.03,0.0001,0.00001"]
    comparison, results = ray_compare.compare(["small"], None, tmp_path / "compare", vary=vary, epochs=6)
    epochs = [row["runs"][0]["last"]["epoch"] for row in comparison["rows"]]
    assert len(results) == 4 and results.num_errors == 0
    assert epochs[0] == 6 and min(epochs) < 6
    assert (tmp_path / "compare/report.html").exists()


SPACE = """
arch = "small"
[space]
image_size = { choices = ["24x24", "20x20"] }
train.learning_rate = { min = 0.0001, max = 0.3, log = true }
train.batch_size = { choices = [32, 64] }
"""


def test_a_search_is_finished_though_a_node_is_killed(cluster, tmp_path):
    import ray_tune

    (tmp_path / "space.toml").write_text(SPACE)
    out = tmp_path / "found"
    started = lambda: len(list(out.glob("trials/*/run/metrics.csv"))) >= 2
    lines = lambda: [len(path.read_text().splitlines()) for path in out.glob("trials/*/run/metrics.csv")]
    killer = Killer(cluster, started, lines)
    comparison, results = ray_tune.search(tmp_path / "space.toml", None, out, trials=5, epochs=3, seeds=2)
    assert sum(killer.done_when_killed()) < 5 * 4, "the node was killed while there was work"
    assert len(results) == 5 and results.num_errors == 0
    assert comparison["complete"] and [run["seed"] for run in comparison["rows"][0]["runs"]] == [1, 2]
    best = results.get_best_result(scope="all")
    # Bit-identical to a training of the same values on one machine.
    space = moue.space(tmp_path / "space.toml")
    (tmp_path / "arch.toml").write_text(space.config(ray_tune.values(space, best.config), epochs=3))
    local = moue.train(tmp_path / "arch.toml", out=tmp_path / "local")
    accuracies = [epoch["validation_accuracy"] for epoch in local["history"]]
    reported = list(best.metrics_dataframe["validation_accuracy"])
    assert accuracies[: len(reported)] == reported[: len(accuracies)]
