"""Scores the rankings of `moue data audit` against people's votes, which the audit does not see.

The majority is that of FER+'s protocol, as in `moue data info --votes`: single votes are removed, and a class has more than
half of the others. An image is mislabeled when its majority is another class than its label; images without a majority for
one of FER2013's seven classes are left out. Compared are moue's scores, cleanlab's rankings on the same out-of-fold
probabilities, and a random order: precision among the first 1,000, 3,000 and 6,000, average precision and AUROC.

    moue data audit fer2013.csv.gz --epochs 12 --out audit
    python bench/audit.py audit/scores.csv fer2013new.csv
"""

import argparse
import csv
import json

import numpy
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score, roc_auc_score

# The columns of FER+ and FER2013's classes.
COLUMNS = {
    "neutral": "neutral",
    "happiness": "happy",
    "surprise": "surprise",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
}
OTHERS = ("contempt", "unknown", "NF")
FIRST = (1000, 3000, 6000)


def majorities(path):
    """The majority of each image that has one, by row."""
    found = {}
    with open(path, newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            counts = {column: int(row[column]) for column in (*COLUMNS, *OTHERS)}
            votes = {column: count for column, count in counts.items() if count > 1}
            most = max(votes, key=votes.get, default=None)
            if most in COLUMNS and 2 * votes[most] > sum(votes.values()):
                found[row.get("row", str(number))] = COLUMNS[most]
    return found


def metrics(score, wrong):
    """Of a score that is lower for worse labels."""
    order = numpy.argsort(score, kind="stable")
    precisions = {str(first): float(wrong[order[:first]].mean()) for first in FIRST if first <= len(order)}
    suspicion = -numpy.asarray(score, float)
    return {
        "precision": precisions,
        "average_precision": float(average_precision_score(wrong, suspicion)),
        "auroc": float(roc_auc_score(wrong, suspicion)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", help="scores.csv of an audit")
    parser.add_argument("votes", help="FER+'s votes")
    parser.add_argument("--json", help="write the results to this file")
    arguments = parser.parse_args()
    votes = majorities(arguments.votes)
    with open(arguments.scores, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["margin"] and row["row"] in votes]
    classes = [name[2:] for name in rows[0] if name.startswith("p_")]
    labels = numpy.array([classes.index(row["given"]) for row in rows])
    probabilities = numpy.array([[float(row[f"p_{label}"]) for label in classes] for row in rows])
    wrong = numpy.array([row["given"] != votes[row["row"]] for row in rows])
    flagged = numpy.array(["label" in row["kinds"].split(";") for row in rows])
    rankings = {
        "moue: margin": numpy.array([float(row["margin"]) for row in rows]),
        "moue: self-confidence": numpy.array([float(row["self_confidence"]) for row in rows]),
    }
    for method in ("normalized_margin", "self_confidence", "confidence_weighted_entropy"):
        adjusts = (False, True) if method != "confidence_weighted_entropy" else (False,)
        for adjusted in adjusts:
            name = f"cleanlab: {method}{', adjusted' if adjusted else ''}"
            rankings[name] = get_label_quality_scores(labels, probabilities, method=method, adjust_pred_probs=adjusted)
    rankings["random"] = numpy.random.default_rng(0).random(len(rows))
    results = {name: metrics(score, wrong) for name, score in rankings.items()}
    issues = find_label_issues(labels, probabilities)
    found = {
        "images": len(rows),
        "wrong": float(wrong.mean()),
        "rankings": results,
        "issues": {
            name: {"count": int(own.sum()), "precision": float(wrong[own].mean()), "recall": float(own[wrong].mean())}
            for name, own in (("moue", flagged), ("cleanlab: find_label_issues", issues))
        },
    }
    print(f"{len(rows)} images, {100 * wrong.mean():.1f} % of the labels differ from the majority\n")
    print(f"{'':44}" + "".join(f"{f'P@{first}':>8}" for first in FIRST) + f"{'AP':>8}{'AUROC':>8}")
    for name, own in results.items():
        values = [own["precision"].get(str(first), float("nan")) for first in FIRST]
        print(f"{name:44}" + "".join(f"{value:8.3f}" for value in [*values, own["average_precision"], own["auroc"]]))
    print()
    for name, own in found["issues"].items():
        print(f"{name}: {own['count']} issues, precision {own['precision']:.3f}, recall {own['recall']:.3f}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
