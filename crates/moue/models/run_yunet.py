"""Runs YuNet's ONNX file in ONNX Runtime, for tests that compare moue with it.

    python run_yunet.py yunet.onnx reference.json                 values of some cells, for a computed picture
    python run_yunet.py yunet.onnx HEIGHT WIDTH IN.raw OUT.raw    all cells of a picture

IN.raw is RGB, [H, W, 3], bytes; OUT.raw has, for each stride and cell, 16 little-endian f32: class and object
(probabilities), box, landmarks. The graph's input is made to take any height and width. Needs onnx, onnxruntime and
numpy."""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

HEADS = ["cls", "obj", "bbox", "kps"]
STRIDES = [8, 16, 32]
SIZES = [(640, 640), (256, 320), (96, 160)]
CELLS = 5


def session(path):
    model = onnx.load(path)
    for value in [*model.graph.input, *model.graph.output]:
        axes = [2, 3] if value.name == "input" else [1]
        for axis in axes:
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{axis}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def picture(height, width):
    """A picture that the Rust test computes as well: [H, W, 3], RGB."""
    y, x, channel = np.mgrid[:height, :width, :3]
    return (((x * 7 + y * 13 + channel * 50) ^ (x * y >> 3)) & 255).astype(np.uint8)


def outputs(network, rgb):
    """For each stride [cells, 16]."""
    bgr = rgb[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    names = [f"{head}_{stride}" for stride in STRIDES for head in HEADS]
    values = dict(zip(names, network.run(names, {"input": np.ascontiguousarray(bgr)})))
    return [np.concatenate([values[f"{head}_{stride}"][0] for head in HEADS], axis=1) for stride in STRIDES]


def main():
    network = session(sys.argv[1])
    if len(sys.argv) > 3:
        height, width = map(int, sys.argv[2:4])
        rgb = np.fromfile(sys.argv[4], np.uint8).reshape(height, width, 3)
        np.concatenate(outputs(network, rgb)).astype("<f4").tofile(sys.argv[5])
        return
    cells = []
    for height, width in SIZES:
        for stride, values in zip(STRIDES, outputs(network, picture(height, width))):
            for cell in np.linspace(0, len(values) - 1, CELLS).astype(int):
                numbers = [float(f"{value:.7g}") for value in values[cell]]
                cells.append({"height": height, "width": width, "stride": stride, "cell": int(cell), "values": numbers})
    lines = ",\n".join(json.dumps(cell) for cell in cells)
    pathlib.Path(sys.argv[2]).write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
