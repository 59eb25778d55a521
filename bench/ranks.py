"""Training images per second in one process and in two ranks of one core each, on this machine.

    cargo build --release --features mpi
    bench/ranks.py [--nets bench/resnet small] [--rounds 3] [--out bench/results/...]

Each measurement trains one epoch of the synthetic faces in a temporary folder, with batch size 128, and reads the rate
from metrics.csv, which covers the training steps only, without loading and validation. Needs Open MPI."""

import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
SETTINGS = {
    "one thread": ["MOUE", "--threads", "1"],
    "two threads": ["MOUE", "--threads", "2"],
    "two ranks": ["mpirun", "--allow-run-as-root", "-n", "2", "MOUE", "--threads", "1"],
}


def measure(moue, setting, net):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        command = [moue if word == "MOUE" else word for word in SETTINGS[setting]]
        command += ["train", net, "--epochs", "1", "--batch-size", "128", "--quiet", "--out", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        with open(out / "metrics.csv") as lines:
            rate = float(next(csv.DictReader(lines))["images_per_second"])
        return rate, (out / "model.safetensors").read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--moue", type=pathlib.Path, default=ROOT / "target/release/moue")
    parser.add_argument("--nets", nargs="+", default=["bench/resnet", "small"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    results = []
    for net in arguments.nets:
        rates, models = {setting: [] for setting in SETTINGS}, set()
        for _ in range(arguments.rounds):
            for setting in SETTINGS:
                rate, model = measure(str(arguments.moue.resolve()), setting, net)
                rates[setting].append(rate)
                models.add(model)
        row = {setting: round(statistics.median(values), 1) for setting, values in rates.items()}
        results.append({"net": net, **row, "same_bytes": len(models) == 1})
        print(json.dumps(results[-1]), flush=True)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "ranks.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
