"""Reads a model of moue: its metadata, and its layers with their arrays. Needs `safetensors` and `numpy`.

`docs/guides/model-files.md` describes the file. Composite layers (`separable_conv2d`, `mbconv`) are returned as the
layers that they consist of, so a framework needs only convolutions, dense layers, normalization, pooling, activations,
and three composite layers: `residual`, `concatenate`, `squeeze_excite`."""

import collections
import json

import numpy
import safetensors

ARRAYS = {
    "conv2d": ["kernel", "bias"],
    "depthwise_conv2d": ["kernel", "bias"],
    "dense": ["kernel", "bias"],
    "batch_normalization": ["gamma", "beta", "moving_mean", "moving_variance"],
}
ONE = {"kernel_size": 1, "strides": 1, "padding": "valid"}


def read(path):
    """The model's metadata (classes, normalisation, calibration, ...) and its layers, up to the logits."""
    with safetensors.safe_open(path, "numpy") as file:
        document = json.loads(file.metadata()["moue"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    for name in [name for name in arrays if name.endswith(".scale")]:
        scaled = name.removesuffix(".scale")
        arrays[scaled] = arrays[scaled].astype("f4") * arrays.pop(name)
    arrays = {name: array.astype("f4") for name, array in arrays.items()}
    layers, _ = Reader(arrays, len(document["classes"])).chain(
        document["architecture"]["layers"], document["architecture"]["input"][2]
    )
    # The last layer returns logits: the calibration is applied to them, before the softmax.
    if layers[-1]["kind"] == "softmax":
        layers.pop()
    elif layers[-1].get("activation") == "softmax":
        layers[-1]["activation"] = "linear"
    return document, layers


def calibration(document):
    """A factor and an offset for each class: probabilities are the softmax of `factor * (logit - mean) + summand`, with
    the mean of an image's logits."""
    parameters, classes = document["calibration"], len(document["classes"])
    factor = numpy.array(parameters.get("scale", [1.0] * classes), "f4") / numpy.float32(parameters["temperature"])
    # The mean of the prior adjustment over the classes is 0.
    adjustment = numpy.array(parameters.get("prior_adjustment", [0.0] * classes), "f4")
    return factor, factor * adjustment + numpy.array(parameters.get("bias", [0.0] * classes), "f4")


def pair(size):
    """`3` is `[3, 3]`."""
    return [size, size] if isinstance(size, int) else list(size)


class Reader:
    """Assigns each layer its arrays. They are named by kind and number, counted from 1 in the order of the file."""

    def __init__(self, arrays, classes):
        self.arrays, self.classes, self.count = arrays, classes, collections.Counter()

    def chain(self, specs, channels):
        layers = []
        for spec in specs:
            if spec["kind"] == "output":
                # A further output, which predictions do not need; its layers are counted.
                self.chain(spec["layers"], channels)
                continue
            for layer in self.expand(spec, channels):
                layer, channels = self.layer(layer, channels)
                layers.append(layer)
        return layers, channels

    def layer(self, spec, channels):
        layer, kind = dict(spec), spec["kind"]
        if kind == "residual":
            layer["layers"], after = self.chain(spec["layers"], channels)
            layer["shortcut"], _ = self.chain(spec.get("shortcut", []), channels)
            return layer, after
        if kind == "concatenate":
            branches = [self.chain(branch, channels) for branch in spec["branches"]]
            layer["branches"] = [branch for branch, _ in branches]
            return layer, sum(after for _, after in branches)
        if kind == "squeeze_excite":
            inner = {"kind": "dense", "units": spec["units"], "activation": spec.get("activation", "relu")}
            outer = {"kind": "dense", "units": channels, "activation": "sigmoid"}
            layer["gate"], _ = self.chain([{"kind": "global_average_pooling2d"}, inner, outer], channels)
            return layer, channels
        self.count[kind] += 1
        name = f"{kind}_{self.count[kind]}"
        layer["arrays"] = {a: self.arrays[f"{name}.{a}"] for a in ARRAYS.get(kind, []) if f"{name}.{a}" in self.arrays}
        if kind in ("conv2d", "dense"):
            channels = layer["arrays"]["kernel"].shape[-1]
        return layer, channels

    def expand(self, spec, channels):
        if spec["kind"] == "separable_conv2d":
            depthwise = {**spec, "kind": "depthwise_conv2d", "activation": "linear"}
            return [depthwise, {"kind": "conv2d", "activation": spec.get("activation", "linear"), **ONE}]
        if spec["kind"] != "mbconv":
            return [spec]
        activation, strides = spec.get("activation", "silu"), pair(spec.get("strides", 1))
        norm = {"kind": "batch_normalization", "epsilon": spec.get("epsilon", 1e-3)}
        layers = []
        if spec.get("expansion", 6) != 1:
            layers += [{"kind": "conv2d", **ONE}, {**norm, "activation": activation}]
        kernel = {"kernel_size": spec.get("kernel_size", 3), "strides": strides, "padding": "same"}
        layers += [{"kind": "depthwise_conv2d", **kernel}, {**norm, "activation": activation}]
        ratio = numpy.float32(spec.get("squeeze_ratio", 0.25))
        if ratio > 0:
            units = max(1, int(numpy.float32(channels) * ratio))
            layers.append({"kind": "squeeze_excite", "units": units, "activation": activation})
        layers += [{"kind": "conv2d", **ONE}, norm]
        if strides == [1, 1] and spec["filters"] == channels:
            return [{"kind": "residual", "layers": layers}]
        return layers
