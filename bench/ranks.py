"""Training images per second in one process and in two ranks of one core each, on this machine.

    cargo build --release --features mpi
    bench/ranks.py [--nets bench/resnet small] [--rounds 3] [--out bench/results/...]

Each turn trains one epoch of the drawn faces in a folder that is thrown away, at batch 128, and takes the rate from
metrics.csv: steps alone, loading and validation left out. Needs Open MPI."""

import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
WAYS = {
    "one thread": ["MOUE", "--threads", "1"],
    "two threads": ["MOUE", "--threads", "2"],
    "two ranks": ["mpirun", "--allow-run-as-root", "-n", "2", "MOUE", "--threads", "1"],
}


def turn(moue, way, net):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        command = [moue if word == "MOUE" else word for word in WAYS[way]]
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
        rates, models = {way: [] for way in WAYS}, set()
        for _ in range(arguments.rounds):
            for way in WAYS:
                rate, model = turn(str(arguments.moue.resolve()), way, net)
                rates[way].append(rate)
                models.add(model)
        row = {way: round(statistics.median(all_of), 1) for way, all_of in rates.items()}
        results.append({"net": net, **row, "same_bytes": len(models) == 1})
        print(json.dumps(results[-1]), flush=True)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "ranks.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
