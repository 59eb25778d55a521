"""`moue compare` on a cluster: its experiments as trials of Ray Tune, with early stopping, and the same report.

    python examples/ray_compare.py small seed/model-5 --vary dropout.rate=0.1,0.3,0.5 --data /shared/fer2013.csv.gz \\
        --out /shared/compare --epochs 30 --address auto

Data and `--out` are in a folder that all nodes share. ASHA (Li et al. 2020) reads the validation accuracy after each
epoch and stops the trials that are not among the best half at its rungs; `--all` trains all of them to the end. A trial
whose node is lost is resumed on another node from its last epoch. Needs `ray[tune]` and the wheel on every node."""

import argparse
import os
import pathlib
import tempfile

import moue
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler


def trial(setting):
    """Trains one experiment into its folder, or resumes it."""
    # The thread pool is created at the first use, with this number of threads.
    os.environ["RAYON_NUM_THREADS"] = str(setting["threads"])
    experiment = setting["experiment"]
    with tempfile.TemporaryDirectory() as folder:
        arch = pathlib.Path(folder, "arch.toml")
        arch.write_text(experiment.config)
        keys = ("epoch", "validation_accuracy", "train_accuracy")
        report = lambda epoch: tune.report({key: epoch[key] for key in keys})
        run = moue.train(arch, setting["data"], out=experiment.folder, resume=True, progress=report)
    # A trial that is restarted after its last epoch reports only this.
    last = run["history"][-1]
    tune.report({"epoch": last["epoch"], "validation_accuracy": last["validation_accuracy"], "done": True})


def compare(archs, data, out, *, vary=(), seeds=1, epochs=None, threads=1, early=True, storage=None, callbacks=()):
    """The comparison, as `moue.compare` returns it, and Ray's results."""
    out = str(pathlib.Path(out).absolute())
    data = data and str(pathlib.Path(data).absolute())
    settings = {"vary": vary, "seeds": seeds, "epochs": epochs}
    plan = moue.plan(archs, data, out=out, **settings)
    space = {"experiment": tune.grid_search(plan), "data": data, "threads": threads}
    scheduler = ASHAScheduler(time_attr="epoch", grace_period=2, reduction_factor=2) if early else FIFOScheduler()
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": threads}),
        param_space=space,
        tune_config=tune.TuneConfig(metric="validation_accuracy", mode="max", scheduler=scheduler),
        run_config=tune.RunConfig(
            storage_path=storage or os.path.join(out, "tune"),
            failure_config=tune.FailureConfig(max_failures=10),
            callbacks=list(callbacks),
            verbose=1,
        ),
    )
    results = tuner.fit()
    return moue.compare(archs, data, out=out, train=False, **settings), results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archs", nargs="+", help="presets or architecture files")
    parser.add_argument("--data", help="data set as downloaded; synthetic faces without it")
    parser.add_argument("--out", default="runs/compare")
    parser.add_argument("--vary", action="append", default=[], help="key=a,b,c; several options form a grid")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, default=1, help="threads of a trial")
    parser.add_argument("--all", action="store_true", help="stop no trial early")
    parser.add_argument("--address", help="address of the cluster; `auto` for the one that this machine is part of")
    arguments = parser.parse_args()
    ray.init(address=arguments.address)
    comparison, results = compare(
        arguments.archs,
        arguments.data,
        arguments.out,
        vary=arguments.vary,
        seeds=arguments.seeds,
        epochs=arguments.epochs,
        threads=arguments.threads,
        early=not arguments.all,
    )
    for row in comparison["rows"]:
        accuracy = row["best_validation_accuracy"]
        print(f"failed: {row['failed']}" if accuracy is None else f"{accuracy:.1%}", row["name"], sep="  ")
    print(f"{len(results)} trials, {results.num_errors} failed; report: {arguments.out}/report.html")


if __name__ == "__main__":
    main()
