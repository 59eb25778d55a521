"""Measures training and prediction of moue on a GPU, compared with PyTorch on the same GPU, and writes a table.

Both copy every batch to the GPU from noise in memory. It builds nothing: `cargo build --release -p moue-cli --features gpu`
comes first, and with `--tests` the programs that `cargo test --release --features gpu --no-run` has built are run before the
measurements.

    python bench/gpu.py --moue target/release/moue --out bench/results/DATE-GPU/gpu.md
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import nets

NETS = {"A": "bench/vgg", "B": "seed/kaggle-notebook", "R": "bench/resnet"}
PRECISIONS = ("fp32", "tf32", "bf16")
WARM_UP_STEPS = 5
MIN_STEPS = 5


def seconds_of(step, seconds):
    """Seconds of a step, from steps that are not waited for one by one."""
    import torch

    for _ in range(WARM_UP_STEPS):
        step()
    torch.cuda.synchronize()
    begin, steps = time.perf_counter(), 0
    while steps < MIN_STEPS or time.perf_counter() - begin < seconds:
        step()
        steps += 1
        if steps % MIN_STEPS == 0:
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    return (time.perf_counter() - begin) / steps


def torch_speed(architecture, batch, precision, seconds):
    """Images per second of training and of prediction."""
    import torch

    model, train = nets.parse(architecture)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    net = nets.torch_network(model).to("cuda", memory_format=torch.channels_last)
    if train["optimizer"] == "sgd":
        optimizer = torch.optim.SGD(
            net.parameters(), train["learning_rate"], momentum=train["momentum"], nesterov=train["nesterov"]
        )
    else:
        optimizer = torch.optim.Adam(net.parameters(), train["learning_rate"])
    loss_of = torch.nn.CrossEntropyLoss()
    height, width, channels = model["input"]
    images = torch.randn(batch, channels, height, width).contiguous(memory_format=torch.channels_last).pin_memory()
    labels = torch.randint(nets.CLASSES, (batch,)).pin_memory()

    def copied(tensor):
        return tensor.to("cuda", non_blocking=True)

    def autocast():
        return torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bf16")

    def train_step():
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = loss_of(net(copied(images)), copied(labels))
        loss.backward()
        optimizer.step()

    def predict_step():
        with torch.inference_mode(), autocast():
            net(copied(images)).cpu()

    net.train()
    trained = batch / seconds_of(train_step, seconds)
    net.eval()
    return trained, batch / seconds_of(predict_step, seconds)


def moue_speed(moue, arch, batch, seconds, device):
    arguments = ["--device", device, "--batch-size", batch, "--seconds", seconds, "--json", "--quiet"]
    command = [moue, "bench", arch, *map(str, arguments)]
    document = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return document["train_images_per_second"], document["predict_images_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moue", default="target/release/moue")
    parser.add_argument("--device", default="gpu", help="as moue's --device")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 1024])
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--tests", nargs="*", default=[], help="programs of tests to run first")
    parser.add_argument("--no-torch", action="store_true", help="measure moue only")
    parser.add_argument("--out", type=pathlib.Path, help="the table as Markdown; printed without it")
    options = parser.parse_args()
    for program in options.tests:
        print(f"testing: {program}", file=sys.stderr)
        subprocess.run([program], check=True)

    programs = ["moue"] + ([] if options.no_torch else [f"torch {precision}" for precision in PRECISIONS])
    rows = []
    for net in options.nets:
        shown = subprocess.run(
            [options.moue, "arch", "show", NETS[net], "--toml"], check=True, capture_output=True, text=True
        )
        for batch in options.batches:
            speeds = {program: [] for program in programs}
            for number in range(options.rounds):
                print(f"net {net}, batch {batch}, round {number + 1} of {options.rounds}", file=sys.stderr)
                for program in programs:
                    if program == "moue":
                        speed = moue_speed(options.moue, NETS[net], batch, options.seconds, options.device)
                    else:
                        speed = torch_speed(shown.stdout, batch, program.split()[1], options.seconds)
                    speeds[program].append(speed)
            for task, index in (("train", 0), ("predict", 1)):
                medians = [statistics.median(speed[index] for speed in speeds[program]) for program in programs]
                cells = [f"{medians[0]:,.0f}"]
                cells += [f"{median:,.0f} ({medians[0] / median:.2f}×)" for median in medians[1:]]
                rows.append(f"| {net}, batch {batch}, {task} | " + " | ".join(cells) + " |")
    head = f"| images/s | {' | '.join(programs)} |\n|---|{'---|' * len(programs)}\n"
    note = "\nMedians of rounds in alternation; in parentheses, moue's speed divided by PyTorch's.\n"
    table = head + "\n".join(rows) + "\n" + note
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(table)
    print(table)


if __name__ == "__main__":
    main()
