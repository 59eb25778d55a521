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


class Graph:
    """The ONNX graph, and the nodes that begin the heads: those read the same maps as the layers between levels."""

    def __init__(self, graph):
        self.arrays = {array.name: numpy_helper.to_array(array) for array in graph.initializer}
        self.nodes = list(graph.node)
        self.heads = {(head, stride): self.head(f"{head}_{stride}") for head in HEADS for stride in STRIDES}
        self.begins = {first.output[0] for first, _ in self.heads.values()}

    def producer(self, name):
        return next(node for node in self.nodes if name in node.output)

    def head(self, name):
        """The two convolutions of a head, from the name of the graph's output."""
        while self.producer(name).op_type != "Conv":
            name = self.producer(name).input[0]
        second = self.producer(name)
        return self.producer(second.input[0]), second

    def after(self, name, operator):
        """The one node of a kind that reads this map, apart from heads."""
        (found,) = [
            node
            for node in self.nodes
            if node.op_type == operator and name in node.input and node.output[0] not in self.begins
        ]
        return found

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
    graph = Graph(model.graph)
    network = Network()

    def pairs(name, count):
        """Layers from a map through pairs of a 1x1 and a depthwise convolution and ReLU, and the map they end in."""
        layers = []
        for _ in range(count):
            first = graph.after(name, "Conv")
            second = graph.after(first.output[0], "Conv")
            name = graph.after(second.output[0], "Relu").output[0]
            layers.append(network.convolution(*graph.weights(first)))
            layers.append(network.depthwise(*graph.weights(second), activation="relu"))
        return layers, name

    def pooled(name, count):
        layers, name = pairs(graph.after(name, "MaxPool").output[0], count)
        return [{"kind": "max_pooling2d"}, *layers], name

    def output(stride):
        """The heads of a level as one."""
        both = [[graph.weights(graph.heads[head, stride][i]) for head in HEADS] for i in range(2)]
        kernels, biases = ([np.concatenate([part[j] for part in parts]) for parts in both] for j in range(2))
        layers = [network.convolution(kernels[0], biases[0]), network.depthwise(kernels[1], biases[1])]
        return {"kind": "output", "name": f"stride_{stride}", "layers": layers}

    def added(name):
        """The map after upsampling and addition."""
        return graph.after(graph.after(name, "Resize").output[0], "Add").output[0]

    up = {"kind": "up_sampling2d"}
    stem = graph.after("input", "Conv")
    kernel, bias = graph.weights(stem)
    # RGB instead of BGR; one zero on each side, as the graph has it.
    layers = [network.convolution(kernel[:, ::-1], bias, strides=2, padding=1, activation="relu")]
    first, name = pairs(graph.after(stem.output[0], "Relu").output[0], 1)
    second, name = pooled(name, 4)
    low, name = pooled(name, 2)
    middle, name = pooled(name, 2)
    high, name = pooled(name, 2)
    # Each level: a lateral pair, its heads, and the way to the finer level, to which it is added.
    lateral, name = pairs(name, 1)
    high += [*lateral, output(32), up]
    lateral, name = pairs(added(name), 1)
    middle += [{"kind": "residual", "layers": high}, *lateral, output(16), up]
    lateral, name = pairs(added(name), 1)
    layers += [*first, *second, *low, {"kind": "residual", "layers": middle}, *lateral, output(8)]
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
