"""`moue tune` on a cluster: the search space of a file, searched by Ray Tune, with the same training.

    python examples/ray_tune.py tutorial --data /shared/fer2013.csv.gz --out /shared/tune --trials 60 --epochs 15 \\
        --address auto

Data and `--out` are in a folder that all nodes share. Ray proposes the values at random, or with `--search` by one of
its search algorithms (`hyperopt`, `optuna`, `bohb`: needs that package); ASHA (Li et al. 2020) stops weak trials early.
A trial whose node is lost is resumed on another node from its last epoch. The best configuration is then trained again
with other seeds, on this machine. Needs `ray[tune]` and the wheel on every node."""

import argparse
import json
import os
import pathlib

import moue
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import create_searcher


def domain(parameter):
    """A parameter as a search space of Ray."""
    low, high, step = parameter["min"], parameter["max"], parameter["step"]
    if parameter["choices"]:
        # Lists in a choice would be grids.
        return tune.choice([json.dumps(choice) for choice in parameter["choices"]])
    if parameter["integer"]:
        return tune.lograndint(int(low), int(high) + 1) if parameter["log"] else tune.qrandint(int(low), int(high), int(step))
    if parameter["log"]:
        return tune.loguniform(low, high)
    return tune.quniform(low, high, step) if step else tune.uniform(low, high)


def values(space, setting):
    """The values of a trial."""
    choices = {parameter["name"] for parameter in space.parameters if parameter["choices"]}
    own = {name: setting[name] for name in (parameter["name"] for parameter in space.parameters)}
    return {name: json.loads(value) if name in choices else value for name, value in own.items()}


def trial(setting):
    """Trains one configuration into its folder, or resumes it."""
    # The thread pool is created at the first use, with this number of threads.
    os.environ["RAYON_NUM_THREADS"] = str(setting["threads"])
    space = moue.space(setting["space"])
    folder = pathlib.Path(setting["out"], "trials", tune.get_context().get_trial_id())
    folder.mkdir(parents=True, exist_ok=True)
    arch = folder / "arch.toml"
    arch.write_text(space.config(values(space, setting), epochs=setting["epochs"]))
    keys = ("epoch", "validation_accuracy", "validation_macro_f1", "train_accuracy")
    report = lambda epoch: tune.report({key: epoch[key] for key in keys})
    run = moue.train(arch, setting["data"], out=folder / "run", resume=True, progress=report)
    # A trial that is restarted after its last epoch reports only this.
    last = run["history"][-1]
    tune.report({**{key: last[key] for key in keys}, "done": True})


def search(space, data, out, *, trials, epochs, seeds=3, threads=1, metric="validation_accuracy", algorithm=None):
    """The comparison of the best configuration with other seeds, as `moue.compare` returns it, and Ray's results."""
    out = str(pathlib.Path(out).absolute())
    data = data and str(pathlib.Path(data).absolute())
    name = str(pathlib.Path(space).absolute()) if os.path.exists(space) else space
    described = moue.space(name)
    settings = {"space": name, "data": data, "out": out, "threads": threads, "epochs": epochs}
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": threads}),
        param_space={**{own["name"]: domain(own) for own in described.parameters}, **settings},
        tune_config=tune.TuneConfig(
            metric=metric,
            mode="max",
            num_samples=trials,
            search_alg=create_searcher(algorithm) if algorithm else None,
            scheduler=ASHAScheduler(time_attr="epoch", max_t=epochs, grace_period=max(1, epochs // 9)),
        ),
        run_config=tune.RunConfig(
            storage_path=os.path.join(out, "ray"), failure_config=tune.FailureConfig(max_failures=10), verbose=1
        ),
    )
    results = tuner.fit()
    # The best epoch of a trial, not its last one.
    best = results.get_best_result(scope="all")
    file = pathlib.Path(out, "best.toml")
    # Other seeds than that of the search, whose accuracy is the best of many.
    file.write_text(described.config(values(described, best.config), epochs=epochs, seed=1))
    return moue.compare([str(file)], data, out=os.path.join(out, "best"), seeds=seeds), results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("space", help="a search space, or a preset or architecture file")
    parser.add_argument("--data", help="data set as downloaded; synthetic faces without it")
    parser.add_argument("--out", default="runs/ray-tune")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3, help="seeds that the best configuration is trained with")
    parser.add_argument("--metric", default="validation_accuracy", help="or validation_macro_f1")
    parser.add_argument("--search", help="search algorithm of Ray Tune; random without it")
    parser.add_argument("--threads", type=int, default=1, help="threads of a trial")
    parser.add_argument("--address", help="address of the cluster; `auto` for the one that this machine is part of")
    arguments = parser.parse_args()
    ray.init(address=arguments.address)
    comparison, results = search(
        arguments.space,
        arguments.data,
        arguments.out,
        trials=arguments.trials,
        epochs=arguments.epochs,
        seeds=arguments.seeds,
        threads=arguments.threads,
        metric=arguments.metric,
        algorithm=arguments.search,
    )
    best = results.get_best_result(scope="all")
    row = comparison["rows"][0]
    print(f"{len(results)} trials, {results.num_errors} failed; the best: {best.path}")
    print(f"{row['best_validation_accuracy']:.1%} with {len(row['runs'])} other seeds; {arguments.out}/best.toml")


if __name__ == "__main__":
    main()
