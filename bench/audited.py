"""Trains on audited labels and compares: the original labels, and those without or with the corrected worst ones.

The first label issues of `moue data audit` are dropped, or get the suggested label. People's votes are not used for that.
Each data set trains the same preset with several seeds. The models keep the weights of the last epoch, so nothing is
selected on PublicTest, where their accuracy is compared: on FER2013's labels, and on the majority of FER+'s votes.

    moue data audit fer2013.csv.gz --epochs 12 --out audit
    python bench/audited.py target/release/moue fer2013.csv.gz fer2013new.csv audit out
"""

import argparse
import csv
import json
import pathlib
import statistics
import subprocess


def fixes(issues, first, action, path):
    """Writes a file of fixes for the first label issues."""
    with open(issues, newline="") as file:
        chosen = [row for row in csv.DictReader(file) if "label" in row["kinds"].split(";")][:first]
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "action", "label"])
        for row in chosen:
            writer.writerow([row["row"], action, row["suggested"] if action == "relabel" else ""])
    return len(chosen)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("moue", help="the program")
    parser.add_argument("data", help="FER2013 as CSV")
    parser.add_argument("votes", help="FER+'s votes")
    parser.add_argument("audit", type=pathlib.Path, help="folder of an audit of the training images")
    parser.add_argument("out", type=pathlib.Path, help="folder for the trainings; finished ones are not repeated")
    parser.add_argument("--arch", default="small")
    parser.add_argument("--epochs", default="12")
    parser.add_argument("--first", type=int, default=3000, help="number of label issues")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = ["--data", arguments.data]
    found = {}
    for action in ("original", "drop", "relabel"):
        fixed = []
        if action != "original":
            path = arguments.out / f"{action}.csv"
            count = fixes(arguments.audit / "issues.csv", arguments.first, action, path)
            print(f"{action}: {count} images", flush=True)
            fixed = ["--fixes", path]
        rows = []
        for seed in range(arguments.seeds):
            run = arguments.out / f"{action}-{seed}"
            if not (run / "model.safetensors").exists():
                options = ["--epochs", arguments.epochs, "--seed", str(seed), "--set", 'train.keep="last"', "--out", run]
                subprocess.run([arguments.moue, "train", arguments.arch, *data, *fixed, *options], check=True)
            evaluate = ["evaluate", run / "model.safetensors", *data, "--split", "PublicTest", "--votes", arguments.votes]
            printed = subprocess.run([arguments.moue, *evaluate, "--json"], check=True, capture_output=True).stdout
            metrics = json.loads(printed)
            votes = metrics["votes"]
            rows.append(
                {
                    "accuracy": metrics["accuracy"],
                    "macro_f1": metrics["macro_f1"],
                    "majority": votes["accuracy"],
                    "majority_macro_recall": votes["of_classes"]["macro_recall"],
                }
            )
        found[action] = rows
    (arguments.out / "audited.json").write_text(json.dumps(found, indent=1))
    for action, rows in found.items():
        for name in rows[0]:
            values = [row[name] for row in rows]
            deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
            each = " ".join(f"{100 * value:.2f}" for value in values)
            print(f"{action:10}{name:24}{100 * statistics.mean(values):7.2f} ± {100 * deviation:.2f}  ({each})")


if __name__ == "__main__":
    main()
