"""A model of moue as a `keras.Model`: `python examples/keras_model.py model.safetensors face.png ...`

The model takes `f32` pixels of 0-255, `[N, H, W, C]`, and returns calibrated probabilities `[N, classes]`.
Needs Keras 3 on any backend, `safetensors`, and `pillow` for the command."""

import sys

import keras
import moue_model
import numpy
from keras import layers as L


def load(path):
    """The `keras.Model` of a model file."""
    document, layers = moue_model.read(path)
    channels = document["architecture"]["input"][2]
    mean, std = (numpy.broadcast_to(document["normalisation"][name], channels) for name in ("mean", "std"))
    inputs = keras.Input(document["architecture"]["input"], name="input")
    x = L.Rescaling(scale=(1 / (255 * std)).tolist(), offset=(-mean / std).tolist())(inputs)
    logits = L.Flatten()(chain(layers, x))
    factor, summand = moue_model.calibration(document)
    centered = logits - keras.ops.mean(logits, axis=1, keepdims=True)
    calibrated = L.Rescaling(scale=factor.tolist(), offset=summand.tolist())(centered)
    model = keras.Model(inputs, L.Softmax(name="probabilities")(calibrated))
    model.classes = document["classes"]
    return model


def chain(specs, x):
    for spec in specs:
        x = layer(spec, x)
    return x


def layer(spec, x):
    """Adds a layer to the graph and sets its arrays."""
    kind, activation = spec["kind"], activation_layer(spec.get("activation", "linear"))
    if kind == "residual":
        return activation(L.Add()([chain(spec["layers"], x), chain(spec["shortcut"], x)]))
    if kind == "concatenate":
        return L.Concatenate()([chain(branch, x) for branch in spec["branches"]])
    if kind == "squeeze_excite":
        gate = chain(spec["gate"], x)
        return L.Multiply()([x, L.Reshape((1, 1, -1))(gate) if len(x.shape) == 4 else gate])
    if kind.startswith("global") and len(x.shape) == 2:
        return x
    if isinstance(spec.get("padding"), int):
        # Correct for convolutions; a pool would count these zeros.
        x, spec = L.ZeroPadding2D(spec["padding"])(x), {**spec, "padding": "valid"}
    new, arrays = create(spec), list(spec["arrays"].values())
    if kind == "dense" and len(x.shape) == 4:
        x = L.Flatten()(x)
    y = new(x)
    if kind == "depthwise_conv2d":
        arrays[0] = arrays[0][..., None]
    if arrays:
        new.set_weights(arrays)
    return activation(y)


def create(spec):
    kind, get, bias = spec["kind"], spec.get, "bias" in spec["arrays"]
    padding, strides = get("padding", "valid"), get("strides") or 1
    pool = {"pool_size": get("pool_size", 2), "strides": get("strides"), "padding": padding}
    normalization = {"momentum": get("momentum", 0.9), "epsilon": get("epsilon", 1e-3)}
    units = spec["arrays"]["kernel"].shape[-1] if kind in ("conv2d", "dense") else None
    constructors = {
        "conv2d": lambda: L.Conv2D(units, get("kernel_size", 3), strides, padding, use_bias=bias),
        "depthwise_conv2d": lambda: L.DepthwiseConv2D(get("kernel_size", 3), strides, padding, use_bias=bias),
        "dense": lambda: L.Dense(units, use_bias=bias),
        "batch_normalization": lambda: L.BatchNormalization(**normalization),
        "max_pooling2d": lambda: L.MaxPooling2D(**pool),
        "average_pooling2d": lambda: L.AveragePooling2D(**pool),
        "global_average_pooling2d": L.GlobalAveragePooling2D,
        "global_max_pooling2d": L.GlobalMaxPooling2D,
        "up_sampling2d": lambda: L.UpSampling2D(get("size", 2)),
        "flatten": L.Flatten,
        "dropout": lambda: L.Dropout(spec["rate"]),
        "stochastic_depth": lambda: L.Dropout(spec["rate"], noise_shape=(None, 1, 1, 1)),
        "leaky_relu": lambda: L.LeakyReLU(get("negative_slope", 0.01)),
    }
    return constructors.get(kind, lambda: L.Activation(kind))()


def activation_layer(name):
    if name == "linear":
        return lambda x: x
    return L.LeakyReLU(0.01) if name == "leaky_relu" else L.Activation(name)


if __name__ == "__main__":
    from PIL import Image

    model = load(sys.argv[1])
    for path in sys.argv[2:]:
        row = model.predict(numpy.asarray(Image.open(path).convert("L"), "f4")[None, :, :, None], verbose=0)[0]
        print(f"{path}  {model.classes[int(row.argmax())]} {100 * float(row.max()):.1f} %")
