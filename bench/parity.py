"""Compares the predictions of moue with those of ONNX Runtime, PyTorch and Keras for the same models and faces.

    bench/parity.py [--out bench/results/...] [--models NAME ...] [--runtimes onnxruntime torch keras]

Models are trained for a few steps on synthetic faces, so that predictions differ and normalization has statistics;
bundled models are used as they are. For each model, `moue export` writes ONNX and safetensors, `onnx.checker` checks
the graph, every runtime predicts the same faces as `moue predict`, and the largest difference of a probability is
printed. Above the limits (1e-5 for ONNX Runtime, 1e-4 for the others) the exit code is 1."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
STEPS = ["--epochs", 12, "--batch-size", 16]
LIMITS = {"onnxruntime": 1e-5, "torch": 1e-4, "keras": 1e-4}
sys.path.insert(0, str(ROOT / "examples"))


def moue(program, *arguments):
    result = subprocess.run([program, *map(str, arguments)], stdout=subprocess.PIPE, check=True, text=True)
    return result.stdout


def predict(program, model, faces):
    """The probabilities that moue predicts, in the order of the faces."""
    lines = moue(program, "predict", *faces, "--no-detect", "--json", "--quiet", "--model", model).splitlines()
    return numpy.array([list(json.loads(line)["faces"][0]["probabilities"].values()) for line in lines], "f4")


def check(path):
    """Checks the exported graph: validity, types, shapes, names and metadata."""
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(graph, check_type=True, strict_mode=True, data_prop=True)
    (inputs,), (outputs,) = inferred.graph.input, inferred.graph.output
    shapes = [value.type.tensor_type.shape for value in (inputs, outputs)]
    extents = [dim.dim_param or dim.dim_value for shape in shapes for dim in shape.dim]
    assert (inputs.name, outputs.name) == ("input", "probabilities"), "names of input and output"
    assert extents[0] == extents[4] == "N", "a batch of any size"
    assert not any(node.op_type == "BatchNormalization" for node in graph.graph.node), "normalization is folded"
    assert {"classes", "normalisation", "provenance"} <= {entry.key for entry in graph.metadata_props}, "metadata"


def with_onnxruntime(stem, pixels):
    import onnxruntime

    return onnxruntime.InferenceSession(f"{stem}.onnx").run(None, {"input": pixels})[0]


def with_torch(stem, pixels):
    import torch
    import torch_model

    with torch.inference_mode():
        return torch_model.MoueModel(f"{stem}.safetensors")(torch.from_numpy(pixels)).numpy()


def with_keras(stem, pixels):
    import keras_model

    return numpy.asarray(keras_model.load(f"{stem}.safetensors").predict(pixels.transpose(0, 2, 3, 1), verbose=0))


RUNTIMES = {"onnxruntime": with_onnxruntime, "torch": with_torch, "keras": with_keras}


def compare(arguments, folder, faces, name):
    """The highest probability that moue predicts, and the largest difference of a probability for each runtime."""
    stem = folder / name.replace("/", "-").removesuffix(".toml")
    model = name
    if name not in ("default", "tiny"):
        run = folder / f"run-{stem.name}"
        moue(arguments.moue, "train", name, "--data", folder / "faces", "--out", run, "--quiet", *STEPS)
        model = run / "model.safetensors"
    for ending in ("onnx", "safetensors"):
        moue(arguments.moue, "export", model, f"{stem}.{ending}", "--quiet")
    check(f"{stem}.onnx")
    expected = predict(arguments.moue, model, faces)
    exported = predict(arguments.moue, f"{stem}.onnx", faces)
    assert numpy.abs(exported - expected).max() < 1e-5, "the exported ONNX file, read by moue"
    channels = onnx.load(f"{stem}.onnx").graph.input[0].type.tensor_type.shape.dim[1].dim_value
    images = [numpy.asarray(Image.open(face).convert("L" if channels == 1 else "RGB"), "f4") for face in faces]
    pixels = numpy.stack(images).reshape(len(faces), 48, 48, channels).transpose(0, 3, 1, 2).copy()
    differences = {name: numpy.abs(RUNTIMES[name](stem, pixels) - expected).max() for name in arguments.runtimes}
    return {"surest": float(expected.max())} | {name: float(difference) for name, difference in differences.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moue", default=str(ROOT / "target/release/moue"))
    parser.add_argument("--models", nargs="+", help="presets, architecture files, default, tiny (default: all)")
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=list(RUNTIMES))
    parser.add_argument("--faces", type=int, default=256)
    parser.add_argument("--out", type=pathlib.Path, help="folder for parity.json and parity.md")
    arguments = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "jax")
    names = arguments.models or [row["name"] for row in json.loads(moue(arguments.moue, "arch", "list", "--json"))]
    table = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        moue(arguments.moue, "data", "draw", folder / "faces", "--count", arguments.faces, "--quiet")
        faces = sorted((folder / "faces").rglob("*.png"))
        for name in names:
            table[name] = compare(arguments, folder, faces, name)
            print(name, *(f"{key} {value:.1e}" for key, value in table[name].items()), sep="  ", flush=True)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        document = {"faces": len(faces), "largest_difference": table}
        (arguments.out / "parity.json").write_text(json.dumps(document, indent=1) + "\n")
        lines = ["| model | highest probability | " + " | ".join(arguments.runtimes) + " |"]
        lines.append("|---" * (len(arguments.runtimes) + 2) + "|")
        for name, row in table.items():
            highest, *differences = row.values()
            lines.append(f"| {name} | {highest:.2f} | " + " | ".join(f"{value:.1e}" for value in differences) + " |")
        (arguments.out / "parity.md").write_text("\n".join(lines) + "\n")
    return int(any(row[runtime] >= LIMITS[runtime] for row in table.values() for runtime in arguments.runtimes))


if __name__ == "__main__":
    sys.exit(main())
