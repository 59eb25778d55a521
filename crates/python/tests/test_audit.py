"""Tests of `moue.audit`."""

import csv

import moue
import numpy
import pytest

NET = """
[model]
name = "net"
input = [48, 48, 1]
layers = [
  { kind = "conv2d", filters = 8, strides = 2, padding = "same" },
  { kind = "global_average_pooling2d" },
  { kind = "dense", units = "classes", activation = "softmax" },
]
[train]
epochs = 2
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "net.toml").write_text(NET)
    images = moue.load().images[:140]
    rows = [f'{number % 7},{" ".join(map(str, image.ravel()))},Training' for number, image in enumerate(images)]
    (tmp_path / "faces.csv").write_text("emotion,pixels,Usage\n" + "\n".join(rows) + "\n")
    return tmp_path


def test_an_audit_has_arrays_and_the_columns_of_its_files(place):
    epochs = []
    found = moue.audit(place / "faces.csv", arch=place / "net.toml", folds=2, out=place / "audit", callback=epochs.append)
    assert [(epoch["fold"], epoch["epoch"]) for epoch in epochs] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert found.probabilities.shape == (140, 7) and found.document["audited"] == 140
    numpy.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)
    numpy.testing.assert_array_equal(found.audited, numpy.arange(140))
    assert found.scores["margin"].shape == (140,)
    with open(place / "audit/issues.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["row"] for row in written] == found.issues["id"]
    assert [row["suggested"] for row in written] == [name or "" for name in found.issues["suggested"]]
    numpy.testing.assert_allclose([float(row["score"]) for row in written], found.issues["score"], atol=1e-6)
    pandas = pytest.importorskip("pandas")
    assert len(pandas.DataFrame(found.issues)) == len(written) and len(pandas.DataFrame(found.scores)) == 140


def test_a_stopped_audit_continues(place):
    settings = {"arch": place / "net.toml", "folds": 2, "out": place / "audit"}
    assert moue.audit(place / "faces.csv", callback=lambda epoch: False, **settings) is None
    assert moue.audit(place / "faces.csv", **settings).document["complete"]
    with pytest.raises(ValueError, match="another audit"):
        moue.audit(place / "faces.csv", epochs=3, **settings)
