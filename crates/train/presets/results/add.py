#!/usr/bin/env python3
"""Adds finished runs to search.csv, the table of all recipes that were evaluated.

    crates/train/presets/results/add.py --data fer2013.csv runs/pooled-1 …

All values are read from the run's folder or from the output of `moue`. MOUE names the program (default:
target/release/moue)."""

import argparse
import csv
import json
import os
import pathlib
import subprocess
import tomllib

TABLE = pathlib.Path(__file__).with_name("search.csv")
COLUMNS = [
    "architecture", "parameters", "macs", "epochs", "best_epoch", "images", "seed", "optimizer", "learning_rate",
    "batch_size", "weight_decay", "schedule", "label_smoothing", "ema_decay", "progressive", "teachers", "augmentation",
    "excluded", "seconds", "isa", "split", "n", "accuracy", "accuracy_tta", "macro_f1", "ece_cross_fitted",
]
MOUE = os.environ.get("MOUE", str(pathlib.Path(__file__).parents[4] / "target/release/moue"))


def output(*arguments):
    """The JSON document that a command prints."""
    return json.loads(subprocess.run([MOUE, *arguments, "--json", "--quiet"], check=True, capture_output=True).stdout)


def enabled(section, keys):
    """`key value` for each option that is turned on."""
    on = [key for key in keys if section.get(key) not in (None, False, 0, 0.0, [])]
    return "; ".join(key if section[key] is True else f"{key} {section[key]}" for key in on)


def row(run, data):
    config = tomllib.loads((run / "config.toml").read_text())
    model = run / "model.safetensors"
    header = model.read_bytes()
    length = int.from_bytes(header[:8], "little")
    document = json.loads(json.loads(header[8:8 + length])["__metadata__"]["moue"])
    train, augment, source = config["train"], config["augment"], config["data"]
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    shape = output("arch", "show", str(run / "config.toml"))
    plain = output("evaluate", str(model), "--data", data, "--split", "validation")
    with_tta = output("evaluate", str(model), "--data", data, "--split", "validation", "--tta")
    excluded = [key for key in ("exclude_blank", "exclude_leaks", "exclude_conflicts") if source.get(key)]
    stages = [f"{stage['image_size']} until {stage['until']:g}" for stage in train["progressive"]]
    teachers = ""
    if train["teachers"]:
        teachers = f"{len(train['teachers'])} at {train['teacher_weight']:.2g}"
        teachers += ", TTA" * train.get("teacher_tta", False)
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in augment.items()}
    return {
        "architecture": shape["name"], "parameters": shape["parameters"], "macs": shape["macs"],
        "epochs": len(history), "best_epoch": document["provenance"]["epoch"],
        "images": sum(document["provenance"].get("training_images", [])) or "", "seed": train["seed"],
        "optimizer": train["optimizer"], "learning_rate": f"{train['learning_rate']:.4g}",
        "batch_size": train["batch_size"], "weight_decay": f"{train['weight_decay']:.4g}",
        "schedule": train["schedule"], "label_smoothing": f"{train['label_smoothing']:.4g}",
        "ema_decay": f"{train['ema_decay']:.4g}", "progressive": "; ".join(stages),
        "teachers": teachers, "augmentation": enabled(rounded, augment),
        "excluded": "; ".join(excluded + ([f"{len(source['exclude'])} named"] if source["exclude"] else [])),
        "seconds": round(sum(record["seconds"] for record in history)), "isa": document["provenance"]["isa"],
        "split": plain["source_split"] or plain["split"], "n": plain["n"],
        "accuracy": f"{plain['accuracy']:.4f}", "accuracy_tta": f"{with_tta['accuracy']:.4f}",
        "macro_f1": f"{plain['macro_f1']:.4f}", "ece_cross_fitted": f"{plain['ece_cross_fitted']:.4f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=pathlib.Path)
    parser.add_argument("--data", required=True)
    arguments = parser.parse_args()
    new = not TABLE.exists()
    with TABLE.open("a", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            table.writeheader()
        for run in arguments.runs:
            table.writerow(row(run, arguments.data))
            file.flush()


if __name__ == "__main__":
    main()
