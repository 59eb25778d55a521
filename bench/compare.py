"""Measures moue compared with other frameworks (peers) and writes a table of medians and ratios.

Every round measures moue and each peer in alternation (moue, peer, moue, next peer, …), so that other load on the
machine affects all of them equally. A peer is a process that keeps running and waits for requests (peer.py); for moue,
`moue bench` is started for each measurement. Run it through `bench/run`.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
NETS = {"A": "bench/vgg", "B": "seed/kaggle-notebook", "R": "bench/resnet"}
PEERS = ["torch", "torch+bf16", "torch+compile", "torch+bf16+compile", "keras", "onnxruntime", "onnxruntime+int8"]
PREDICT_BATCH = 64
MEMORY_BATCH = 128
AVX2_LIMITS = {
    "MOUE_ISA": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
TASKS = {"train": "images/s", "predict": "images/s", "latency": "ms"}


class Moue:
    def __init__(self, binary, threads, environment):
        self.binary, self.threads, self.environment = binary, threads, environment

    def run(self, *arguments):
        command = [self.binary, *map(str, arguments), "--quiet", "--threads", str(self.threads)]
        result = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        return result.stdout

    def bench(self, arch, batch, seconds, precision="f32"):
        options = ("--batch-size", batch, "--seconds", seconds, "--precision", precision)
        return json.loads(self.run("bench", arch, *options, "--json"))

    def measure(self, arch, train_batch, seconds, precision):
        """The value of every task, each measured once."""
        if precision == "int8":
            # It is a precision of predictions.
            train_batch = PREDICT_BATCH
        train = self.bench(arch, train_batch, seconds, precision)
        predict = train if train_batch == PREDICT_BATCH else self.bench(arch, PREDICT_BATCH, seconds, precision)
        values = {"predict": predict["predict_images_per_second"], "latency": predict["latency_ms_p50"]}
        return values if precision == "int8" else {"train": train["train_images_per_second"], **values}


class Peer:
    def __init__(self, name, architecture, threads, environment):
        self.name = name
        command = [sys.executable, str(HERE / "peer.py"), name, architecture, "--threads", str(threads)]
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=null, text=True)

    def request(self, task, batch, seconds):
        """The measured value, or `None` with the error on standard error."""
        message = {"task": task, "batch_size": batch, "seconds": seconds}
        try:
            print(json.dumps(message), file=self.process.stdin, flush=True)
            response = json.loads(self.process.stdout.readline() or '{"error": "the process ended"}')
        except (BrokenPipeError, json.JSONDecodeError) as error:
            response = {"error": str(error)}
        if "error" in response:
            print(f"  {self.name}, {task}: {response['error']}", file=sys.stderr)
        return response.get("value")

    def measure(self, train_batch, seconds):
        batches = {"train": train_batch, "predict": PREDICT_BATCH, "latency": 1}
        values = {}
        for task, batch in batches.items():
            if task == "train" and self.name.startswith("onnxruntime"):
                continue
            value = self.request(task, batch, seconds)
            if value is not None:
                values[task] = value
        return values

    def stop(self):
        self.process.kill()
        self.process.wait()


def train_batch(toml):
    import nets

    return nets.parse(toml)[1]["batch_size"]


def own_name(precision):
    """The name of moue in a precision in tables and results."""
    return "moue" if precision == "f32" else f"moue+{precision}"


def compare_speed(moue, peers, net, arch, options, environment):
    """Medians by task and program."""
    toml = moue.run("arch", "show", arch, "--toml")
    batch = train_batch(toml)
    samples = {task: {name: [] for name in [*map(own_name, options.precisions), *peers]} for task in TASKS}

    def add(name, values):
        for task, value in values.items():
            samples[task][name].append(value)

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(toml)
        file.flush()
        running = [Peer(name, file.name, options.threads, environment) for name in peers]
        try:
            for peer in running:
                print(f"{net}: warming up {peer.name}", file=sys.stderr)
                peer.measure(batch, 0)
            for number in range(options.rounds):
                print(f"{net}: round {number + 1} of {options.rounds}", file=sys.stderr)
                for peer in running:
                    for precision in options.precisions:
                        add(own_name(precision), moue.measure(arch, batch, options.seconds, precision))
                    add(peer.name, peer.measure(batch, options.seconds))
        finally:
            for peer in running:
                peer.stop()
    return {
        task: {name: statistics.median(values) for name, values in names.items() if values}
        for task, names in samples.items()
    }


def compare_memory(moue, arch, precisions, threads, environment):
    """Peak memory of a process that trains at batch size 128, in bytes."""
    result = {
        own_name(p): moue.bench(arch, MEMORY_BATCH, 0.5, p)["peak_rss_bytes"] for p in precisions if p != "int8"
    }
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(moue.run("arch", "show", arch, "--toml"))
        file.flush()
        for name in ["torch", "torch+bf16", "keras"]:
            peer = Peer(name, file.name, threads, environment)
            value = peer.request("memory", MEMORY_BATCH, 0.5)
            if value is not None:
                result[name] = value
            peer.stop()
    return result


def scaling(moue, arch, options):
    """Training images per second with one thread and with all threads, measured in alternation."""
    toml = moue.run("arch", "show", arch, "--toml")
    batch = train_batch(toml)
    one = Moue(moue.binary, 1, moue.environment)
    pairs = [
        tuple(m.bench(arch, batch, options.seconds)["train_images_per_second"] for m in (one, moue))
        for _ in range(options.rounds)
    ]
    return [statistics.median(values) for values in zip(*pairs)]


def whole_process(moue, runs=21):
    """Median milliseconds of `moue predict --no-detect face.png` as a whole process."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        moue.run("data", "draw", folder / "faces", "--count", 70)
        moue.run("train", "small", "--epochs", 1, "--out", folder / "run")
        face = next((folder / "faces").rglob("*.png"))
        arguments = ("predict", "--model", folder / "run" / "model.safetensors", "--no-detect", face)
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            moue.run(*arguments)
            times.append((time.perf_counter() - start) * 1e3)
        return statistics.median(times)


def ratio(task, ours, theirs):
    return theirs / ours if task == "latency" else ours / theirs


def speed_table(speeds, precisions, peers):
    lines = []
    own = [own_name(precision) for precision in precisions]
    for task, unit in TASKS.items():
        lines += [f"### {task} ({unit})", "", "| net | " + " | ".join(own + peers) + " |"]
        lines.append("|---" * (1 + len(own) + len(peers)) + "|")
        for net, tasks in speeds.items():
            values = tasks[task]
            number = ".2f" if task == "latency" else ".0f"
            cells = [f"**{values[name]:{number}}**" if name in values else "–" for name in own]
            for name in peers:
                theirs = values.get(name)
                measured = [name for name in own if name in values] if theirs else []
                ratios = [f"{ratio(task, values[name], theirs):.2f}×" for name in measured]
                cells.append(f"{theirs:{number}} ({', '.join(ratios)})" if theirs else "–")
            lines.append(f"| {net} | " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def processor():
    """The processor's model name, with its family and model numbers."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    entries = dict((part.strip() for part in line.split(":", 1)) for line in reversed(lines) if ":" in line)
    name = entries.get("model name", platform.machine())
    return f"{name} (family {entries.get('cpu family')}, model {entries.get('model')})"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--moue", default="target/release/moue", help="the binary")
    arguments.add_argument("--nets", nargs="+", default=list(NETS), choices=list(NETS))
    arguments.add_argument("--peers", nargs="+", default=PEERS)
    arguments.add_argument(
        "--precisions", nargs="+", default=["f32"], choices=["f32", "bf16", "int8"], help="of moue (MOUE_KERNELS selects kernels)"
    )
    arguments.add_argument("--threads", type=int, default=os.cpu_count())
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=2.0, help="for each measurement")
    arguments.add_argument("--avx2", action="store_true", help="also with every program limited to AVX2")
    arguments.add_argument("--speed-only", action="store_true", help="without memory, scaling and the whole process")
    arguments.add_argument("--out", help="folder for results.json and results.md")
    options = arguments.parse_args()
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="1")

    moue = Moue(options.moue, options.threads, dict(os.environ))
    speeds = {
        net: compare_speed(moue, options.peers, net, NETS[net], options, moue.environment) for net in options.nets
    }
    results = {"processor": processor(), "threads": options.threads, "rounds": options.rounds, "speeds": speeds}
    lines = [
        f"{results['processor']}, {options.threads} threads; medians of {options.rounds} rounds, "
        f"{options.seconds:g} s for each measurement.",
        "In parentheses: the speed of moue, in each precision, divided by that of the peer.",
        "",
        *speed_table(speeds, options.precisions, options.peers),
    ]
    if options.avx2:
        environment = {**os.environ, **AVX2_LIMITS}
        limited = Moue(options.moue, options.threads, environment)
        peers = [name for name in options.peers if name in ("torch", "keras")]
        slow = {net: compare_speed(limited, peers, net, NETS[net], options, environment) for net in options.nets}
        results["speeds_avx2"] = slow
        lines += ["## Limited to AVX2", ""]
        for name in peers:
            ratios = [
                f"{net} {task} {slow[net][task][name] / speeds[net][task][name]:.2f}"
                for net in options.nets
                for task in ("train", "predict")
            ]
            lines.append(f"Speed of {name} when limited, divided by its speed without limits: {', '.join(ratios)}.")
        lines += ["", *speed_table(slow, options.precisions, peers)]
    if not options.speed_only:
        memory = {
            net: compare_memory(moue, NETS[net], options.precisions, options.threads, moue.environment)
            for net in options.nets
        }
        results["memory"] = memory
        names = list(next(iter(memory.values())))
        lines += [f"## Peak memory of a process that trains at batch {MEMORY_BATCH}, MB", ""]
        lines += ["| net | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for net, values in memory.items():
            lines.append(f"| {net} | " + " | ".join(f"{values[n] / 1e6:.0f}" for n in names) + " |")
        results["scaling"] = {net: scaling(moue, NETS[net], options) for net in options.nets}
        lines += ["", f"## Training with 1 thread and with {options.threads}, images/s", ""]
        lines += ["| net | 1 | " + str(options.threads) + " | ratio |", "|---|---|---|---|"]
        for net, (one, every) in results["scaling"].items():
            lines.append(f"| {net} | {one:.0f} | {every:.0f} | {every / one:.2f} |")
        results["predict_process_ms"] = whole_process(moue)
        lines += ["", f"`moue predict --no-detect face.png`, whole process: {results['predict_process_ms']:.1f} ms", ""]
    text = "\n".join(lines)
    print(text)
    if options.out:
        out = pathlib.Path(options.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (out / "results.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
