"""Builds a network in PyTorch, Keras or ONNX from moue's architecture file.

`moue arch show ARCH --toml` prints the layers with all defaults, so no property of a network is repeated here.
"""

import tomllib

CLASSES = 7


def parse(text):
    document = tomllib.loads(text)
    return document["model"], document["train"]


def pair(value):
    return tuple(value) if isinstance(value, list) else (value, value)


def units(layer):
    return CLASSES if layer["units"] == "classes" else layer["units"]


def torch_network(model):
    import torch
    from torch import nn

    activations = {"relu": nn.ReLU, "softmax": None, "linear": None}

    class Residual(nn.Module):
        def __init__(self, branch, activation):
            super().__init__()
            self.branch = branch
            self.activation = activation

        def forward(self, x):
            y = self.branch(x) + x
            return torch.relu(y) if self.activation == "relu" else y

    def chain(layers, shape):
        """The modules and their output shape (channels, height, width)."""
        modules = []
        for layer in layers:
            kind = layer["kind"]
            channels, height, width = shape
            if kind == "conv2d":
                size, strides = pair(layer["kernel_size"]), pair(layer["strides"])
                # Keras pads a stride of 2 on one side only; symmetric padding has the same output size and saves
                # PyTorch a separate padding operation.
                same = layer["padding"] == "same"
                padding = tuple(s // 2 for s in size) if same else 0
                modules.append(
                    nn.Conv2d(channels, layer["filters"], size, strides, padding, bias=layer["use_bias"])
                )
                if same:
                    height, width = -(-height // strides[0]), -(-width // strides[1])
                else:
                    height = (height - size[0]) // strides[0] + 1
                    width = (width - size[1]) // strides[1] + 1
                shape = (layer["filters"], height, width)
            elif kind == "batch_normalization":
                modules.append(nn.BatchNorm2d(channels, eps=layer["epsilon"]))
            elif kind == "max_pooling2d":
                size = pair(layer["pool_size"])
                modules.append(nn.MaxPool2d(size))
                shape = (channels, height // size[0], width // size[1])
            elif kind == "dropout":
                modules.append(nn.Dropout(layer["rate"]))
            elif kind == "flatten":
                modules.append(nn.Flatten())
                shape = (channels * height * width, 1, 1)
            elif kind == "global_average_pooling2d":
                modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
                shape = (channels, 1, 1)
            elif kind == "dense":
                modules.append(nn.Linear(channels, units(layer)))
                shape = (units(layer), 1, 1)
            elif kind == "residual":
                assert not layer.get("shortcut"), "only identity shortcuts are supported"
                branch, shape = chain(layer["layers"], shape)
                modules.append(Residual(branch, layer["activation"]))
            else:
                raise ValueError(f"no PyTorch layer for {kind}")
            activation = layer.get("activation", "linear") if kind != "residual" else "linear"
            if activations[activation] is not None:
                modules.append(activations[activation](inplace=True))
        return nn.Sequential(*modules), shape

    height, width, channels = model["input"]
    return chain(model["layers"], (channels, height, width))[0]


def keras_network(model):
    import keras
    from keras import layers as kl

    def chain(x, layers):
        for layer in layers:
            kind = layer["kind"]
            activation = layer.get("activation", "linear")
            if kind == "conv2d":
                x = kl.Conv2D(
                    layer["filters"],
                    pair(layer["kernel_size"]),
                    pair(layer["strides"]),
                    padding=layer["padding"],
                    use_bias=layer["use_bias"],
                    activation=activation,
                )(x)
            elif kind == "batch_normalization":
                x = kl.BatchNormalization(momentum=layer["momentum"], epsilon=layer["epsilon"])(x)
                if activation != "linear":
                    x = kl.Activation(activation)(x)
            elif kind == "max_pooling2d":
                x = kl.MaxPooling2D(pair(layer["pool_size"]))(x)
            elif kind == "dropout":
                x = kl.Dropout(layer["rate"])(x)
            elif kind == "flatten":
                x = kl.Flatten()(x)
            elif kind == "global_average_pooling2d":
                x = kl.GlobalAveragePooling2D()(x)
            elif kind == "dense":
                x = kl.Dense(units(layer), activation=activation)(x)
            elif kind == "residual":
                x = kl.Add()([chain(x, layer["layers"]), x])
                if activation != "linear":
                    x = kl.Activation(activation)(x)
            else:
                raise ValueError(f"no Keras layer for {kind}")
        return x

    inputs = keras.Input(tuple(model["input"]))
    return keras.Model(inputs, chain(inputs, model["layers"]))


def onnx_network(model):
    """The network for inference: float32, NCHW, any batch size."""
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = numpy.random.default_rng(0)
    nodes, initializers = [], []

    def name(kind):
        return f"{kind}_{len(nodes)}_{len(initializers)}"

    def constant(*shape, scale=1.0, offset=0.0):
        values = (random.standard_normal(shape) * scale + offset).astype(numpy.float32)
        initializers.append(numpy_helper.from_array(values, name("weight")))
        return initializers[-1].name

    def node(kind, inputs, **attributes):
        output = name(kind)
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def activate(x, activation):
        kinds = {"linear": None, "relu": "Relu", "softmax": "Softmax"}
        kind = kinds[activation]
        return node(kind, [x]) if kind else x

    def chain(x, layers, shape):
        for layer in layers:
            kind = layer["kind"]
            channels, height, width = shape
            if kind == "conv2d":
                size, strides = pair(layer["kernel_size"]), pair(layer["strides"])
                filters, fan_in = layer["filters"], channels * size[0] * size[1]
                pads = [0, 0, 0, 0]
                if layer["padding"] == "same":
                    out = (-(-height // strides[0]), -(-width // strides[1]))
                    for axis, extent in enumerate((height, width)):
                        total = max((out[axis] - 1) * strides[axis] + size[axis] - extent, 0)
                        pads[axis], pads[axis + 2] = total // 2, total - total // 2
                else:
                    out = ((height - size[0]) // strides[0] + 1, (width - size[1]) // strides[1] + 1)
                inputs = [x, constant(filters, channels, *size, scale=(2 / fan_in) ** 0.5)]
                if layer["use_bias"]:
                    inputs.append(constant(filters, scale=0.1))
                x = node("Conv", inputs, kernel_shape=size, strides=strides, pads=pads)
                shape = (filters, *out)
            elif kind == "batch_normalization":
                inputs = [x, constant(channels, scale=0.1, offset=1.0), constant(channels, scale=0.1)]
                inputs += [constant(channels, scale=0.1), constant(channels, scale=0.0, offset=1.0)]
                x = node("BatchNormalization", inputs, epsilon=layer["epsilon"])
            elif kind == "max_pooling2d":
                size = pair(layer["pool_size"])
                x = node("MaxPool", [x], kernel_shape=size, strides=size)
                shape = (channels, height // size[0], width // size[1])
            elif kind == "dropout":
                continue
            elif kind == "flatten":
                x = node("Flatten", [x])
                shape = (channels * height * width, 1, 1)
            elif kind == "global_average_pooling2d":
                x = node("Flatten", [node("GlobalAveragePool", [x])])
                shape = (channels, 1, 1)
            elif kind == "global_max_pooling2d":
                x = node("Flatten", [node("GlobalMaxPool", [x])])
                shape = (channels, 1, 1)
            elif kind == "concatenate":
                branches = [chain(x, branch, shape) for branch in layer["branches"]]
                x = node("Concat", [branch for branch, _ in branches], axis=1)
                shape = (sum(output[0] for _, output in branches), *branches[0][1][1:])
            elif kind == "squeeze_excite":
                squeezed = node("GlobalAveragePool", [x])
                for kind, inputs, out in (("Relu", channels, layer["units"]), ("Sigmoid", layer["units"], channels)):
                    weights = [constant(out, inputs, 1, 1, scale=inputs**-0.5), constant(out, scale=0.1)]
                    squeezed = node(kind, [node("Conv", [squeezed, *weights], kernel_shape=[1, 1])])
                x = node("Mul", [x, squeezed])
            elif kind == "dense":
                out = units(layer)
                inputs = [x, constant(channels, out, scale=channels**-0.5), constant(out, scale=0.1)]
                x = node("Gemm", inputs)
                shape = (out, 1, 1)
            elif kind == "residual":
                branch, shape = chain(x, layer["layers"], shape)
                x = node("Add", [branch, x])
            else:
                raise ValueError(f"no ONNX operator for {kind}")
            x = activate(x, layer.get("activation", "linear"))
        return x, shape

    height, width, channels = model["input"]
    output, _ = chain("input", model["layers"], (channels, height, width))
    graph = helper.make_graph(
        nodes,
        model["name"].replace("/", "_"),
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", channels, height, width])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", CLASSES])],
        initializers,
    )
    document = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(document, full_check=True)
    return document.SerializeToString()
