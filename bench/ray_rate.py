"""Pictures per second of `examples/ray_annotate.py` with one and two nodes of one core each, on this machine.

    bench/ray_rate.py FOLDER [--model default] [--out bench/results/...]

FOLDER contains pictures, for example those of `bench/photos.py make`. Needs `ray[data]` and the wheel. Every
measurement starts its own cluster; its time is that for all pictures, including the start of the workers."""

import argparse
import json
import pathlib
import sys
import tempfile
import time

import pyarrow.parquet
import ray
from ray.cluster_utils import Cluster

EXAMPLES = str(pathlib.Path(__file__).resolve().parents[1] / "examples")
sys.path.insert(0, EXAMPLES)


def measure(arguments, nodes):
    import ray_annotate

    # A node keeps as many idle processes as it has cores; with one core, each read and write would start its own.
    head = {"num_cpus": 1, "_system_config": {"num_workers_soft_limit": 4}}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(nodes - 1):
        cluster.add_node(num_cpus=1)
    environment = {"env_vars": {"PYTHONPATH": EXAMPLES}}
    ray.init(address=cluster.address, runtime_env=environment, log_to_driver=False)
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        ray_annotate.annotate(str(arguments.folder), out, model=arguments.model, workers=nodes, batch_size=16)
        seconds = time.perf_counter() - start
        paths = pyarrow.parquet.read_table(out, columns=["path"]).column("path").to_pylist()
    ray.shutdown()
    cluster.shutdown()
    count, distinct = len(paths), len(set(paths))
    return {"nodes": nodes, "pictures": count, "distinct": distinct, "seconds": seconds, "rate": count / seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=pathlib.Path, help="folder for ray.json")
    arguments = parser.parse_args()
    results = [measure(arguments, nodes) for nodes in arguments.nodes]
    print(json.dumps(results, indent=1))
    if arguments.out:
        (arguments.out / "ray.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
