"""Converts YuNet from OpenCV Zoo's ONNX file to the file that moue's face detector reads.

    python convert_yunet.py face_detection_yunet_2023mar.onnx yunet.safetensors

Needs `onnx` and `numpy`. The bundled yunet.safetensors is the output for the file with the SHA-256 below. Other weights
of the same graph are converted as well, for `moue predict --detector`.

The arithmetic is the same in another form: the network takes RGB instead of BGR, and the four heads of a level, which
each are a 1x1 convolution and a depthwise 3x3 convolution, are one head with 16 channels (face, object, box, landmarks).
The sigmoid of the first two is applied by the detector."""

import argparse
import hashlib
import json
import pathlib
import struct

import numpy as np
import onnx
from onnx import numpy_helper

SOURCE = "https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet (face_detection_yunet_2023mar.onnx)"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
HEADS = ["cls", "obj", "bbox", "kps"]
STRIDES = [8, 16, 32]


class Convolutions:
    """The graph's convolutions, each found by the map that it reads."""

    def __init__(self, graph):
        self.arrays = {array.name: numpy_helper.to_array(array) for array in graph.initializer}
        self.nodes = list(graph.node)

    def after(self, name, operator):
        """The nodes of a kind that read this map."""
        return [node for node in self.nodes if node.op_type == operator and name in node.input]

    def producer(self, name):
        return next(node for node in self.nodes if name in node.output)

    def weights(self, node):
        return [self.arrays[name] for name in node.input[1:3]]


def channels_last(kernel):
    """[filters, channels, height, width] as [height, width, channels, filters]."""
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))


class Network:
    """Layers in moue's architecture form, and their arrays under the names that moue gives them."""

    def __init__(self):
        self.arrays = {}
        self.counts = {}

    def name(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}_{self.counts[kind]}"

    def put(self, kind, kernel, bias):
        name = self.name(kind)
        self.arrays[f"{name}.kernel"], self.arrays[f"{name}.bias"] = kernel, bias

    def convolution(self, kernel, bias, **options):
        self.put("conv2d", channels_last(kernel), bias)
        return {"kind": "conv2d", "filters": kernel.shape[0], "kernel_size": kernel.shape[2], **options}

    def depthwise(self, kernel, bias, **options):
        assert kernel.shape[1:] == (1, 3, 3), kernel.shape
        self.put("depthwise_conv2d", channels_last(kernel)[:, :, 0, :].copy(), bias)
        return {"kind": "depthwise_conv2d", "padding": "same", **options}


def convert(model):
    graph = Convolutions(model.graph)
    network = Network()

    def pair(name):
        """The layers from a map through a 1x1 and a depthwise convolution and ReLU, and the map that they end in."""
        first = next(node for node in graph.after(name, "Conv") if not node.name_of_head)
        second = graph.after(first.output[0], "Conv")[0]
        relu = graph.after(second.output[0], "Relu")[0]
        return [
            network.convolution(*graph.weights(first)),
            network.depthwise(*graph.weights(second), activation="relu"),
        ], relu.output[0]

    def stage(name, pairs):
        layers = []
        for _ in range(pairs):
            more, name = pair(name)
            layers += more
        return layers, name

    def output(stride):
        """The heads of a level as one, from the names of the graph's outputs."""
        parts = []
        for head in HEADS:
            name = f"{head}_{stride}"
            while graph.producer(name).op_type != "Conv":
                name = graph.producer(name).input[0]
            second = graph.producer(name)
            parts.append((graph.weights(graph.producer(second.input[0])), graph.weights(second)))
        joined = [[np.concatenate([part[i][j] for part in parts]) for j in range(2)] for i in range(2)]
        layers = [network.convolution(*joined[0]), network.depthwise(*joined[1])]
        return {"kind": "output", "name": f"stride_{stride}", "layers": layers}

    # Heads read the same maps as the layers between levels.
    heads = set()
    for head in HEADS:
        for stride in STRIDES:
            name = f"{head}_{stride}"
            while graph.producer(name).op_type != "Conv":
                name = graph.producer(name).input[0]
            heads.add(graph.producer(graph.producer(name).input[0]).output[0])

    class Node:
        """A node that knows whether it begins a head."""

        def __init__(self, node):
            self.node, self.name_of_head = node, node.output[0] in heads

        def __getattr__(self, name):
            return getattr(self.node, name)

    graph.nodes = [Node(node) for node in graph.nodes]

    pool = {"kind": "max_pooling2d"}
    up = {"kind": "up_sampling2d"}
    (stem,) = graph.after("input", "Conv")
    kernel, bias = graph.weights(stem)
    # RGB instead of BGR; one zero on each side, as the graph has it.
    layers = [network.convolution(kernel[:, ::-1], bias, strides=2, padding=1, activation="relu")]
    name = graph.after(stem.output[0], "Relu")[0].output[0]
    ends = {}
    stages = [1, 2, 2, 2, 2, 2]
    pooled = [True, False, True, True, True, False]
    blocks = []
    for number, pairs in enumerate(stages[:4]):
        more, name = stage(name, pairs)
        layers += more
        if number < 3 and pooled[number]:
            (node,) = graph.after(name, "MaxPool")
            layers.append(pool)
            name = node.output[0]
    ends[8] = name
    (node,) = graph.after(name, "MaxPool")
    middle, name = stage(node.output[0], stages[4])
    ends[16] = name
    (node,) = graph.after(name, "MaxPool")
    upper, name = stage(node.output[0], stages[5])
    # The lateral convolution of each level comes before its head and before the next level.
    lateral, name = pair(name)
    upper = [pool, *upper, *lateral, output(32), up]

    def joined(name):
        """The map after upsampling and addition."""
        (resize,) = graph.after(name, "Resize")
        (add,) = graph.after(resize.output[0], "Add")
        return add.output[0]

    lateral, name = pair(joined(name))
    middle = [pool, *middle, {"kind": "residual", "layers": upper}, *lateral, output(16), up]
    lateral, name = pair(joined(name))
    layers += [{"kind": "residual", "layers": middle}, *lateral, output(8)]
    used = sum(array.size for array in network.arrays.values())
    held = sum(array.size for array in graph.arrays.values() if array.dtype == np.float32 and array.size > 4)
    assert abs(used - held) < 40, f"{used} weights converted, but the graph has {held}"
    return layers, network.arrays


def write(path, document, arrays):
    """A safetensors file: header length, JSON header, arrays of little-endian f32, sorted by name."""
    header, parts, at = {"__metadata__": {"moue": json.dumps(document, sort_keys=True, separators=(",", ":"))}}, [], 0
    for name, array in sorted(arrays.items()):
        data = np.ascontiguousarray(array, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("onnx", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    content = arguments.onnx.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        print(f"note: SHA-256 {digest} is not that of the bundled model, {SHA256}")
    layers, arrays = convert(onnx.load_from_string(content))
    document = {
        "format": 1,
        "task": "face_detection",
        "architecture": {"name": "yunet", "input": [640, 640, 3], "layers": layers},
        "provenance": {"source": SOURCE, "sha256": digest, "license": "MIT, Shiqi Yu et al."},
    }
    write(arguments.out, document, arrays)
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes, {sum(a.size for a in arrays.values())} weights")


if __name__ == "__main__":
    main()
