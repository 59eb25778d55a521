"""A model of moue as a `torch.nn.Module`: `python examples/torch_model.py model.safetensors face.png ...`

The module takes `f32` pixels of 0-255, `[N, C, H, W]`, and returns calibrated probabilities `[N, classes]`;
`module.logits(pixels)` returns logits, for training. Needs `torch`, `safetensors`, and `pillow` for the command."""

import sys

import moue_model
import numpy
import torch
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softmax": lambda x: F.softmax(x, dim=1),
}


def same(x, size, strides, value=0.0):
    """Padding as in Keras: of an odd number of zeros, one more is at the bottom and right."""
    pads = []
    for extent, size, stride in zip(reversed(x.shape[2:]), reversed(size), reversed(strides)):
        total = max((-(-extent // stride) - 1) * stride + size - extent, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


class Layer(nn.Module):
    """One layer, with its arrays as parameters under moue's names."""

    def __init__(self, spec):
        super().__init__()
        self.kind, self.spec = spec["kind"], spec
        self.activation = ACTIVATIONS[spec.get("activation", "linear")]
        for name, array in spec["arrays"].items():
            value = torch.from_numpy(numpy.ascontiguousarray(array))
            if array.ndim == 4:
                value = value.permute(3, 2, 0, 1).contiguous()
            if array.ndim == 3:
                value = value.permute(2, 0, 1).unsqueeze(1).contiguous()
            if name.startswith("moving"):
                self.register_buffer(name, value)
            else:
                self.register_parameter(name, nn.Parameter(value))

    def forward(self, x):
        return self.activation(getattr(self, self.kind)(x))

    def windows(self, x, value=0.0):
        spec = self.spec
        size = moue_model.pair(spec.get("kernel_size", spec.get("pool_size", 2 if "pool" in self.kind else 3)))
        strides = moue_model.pair(spec.get("strides") or (size if "pool" in self.kind else 1))
        padding = spec.get("padding", "valid")
        if padding == "same":
            x = same(x, size, strides, value)
        elif padding != "valid":
            x = F.pad(x, [padding] * 4, value=value)
        return x, size, strides

    def conv2d(self, x):
        x, _, strides = self.windows(x)
        return F.conv2d(x, self.kernel, getattr(self, "bias", None), strides)

    def depthwise_conv2d(self, x):
        x, _, strides = self.windows(x)
        return F.conv2d(x, self.kernel, getattr(self, "bias", None), strides, groups=x.shape[1])

    def dense(self, x):
        return F.linear(x.flatten(1), self.kernel.T, getattr(self, "bias", None))

    def batch_normalization(self, x):
        momentum, epsilon = 1 - self.spec.get("momentum", 0.9), self.spec.get("epsilon", 1e-3)
        statistics, parameters = (self.moving_mean, self.moving_variance), (self.gamma, self.beta)
        return F.batch_norm(x, *statistics, *parameters, self.training, momentum, epsilon)

    def max_pooling2d(self, x):
        x, size, strides = self.windows(x, -torch.inf)
        return F.max_pool2d(x, size, strides)

    def average_pooling2d(self, x):
        padded, size, strides = self.windows(x)
        inside, _, _ = self.windows(torch.ones_like(x))
        return F.avg_pool2d(padded, size, strides) / F.avg_pool2d(inside, size, strides)

    def global_average_pooling2d(self, x):
        return x.mean((2, 3)) if x.dim() == 4 else x

    def global_max_pooling2d(self, x):
        return x.amax((2, 3)) if x.dim() == 4 else x

    def up_sampling2d(self, x):
        return F.interpolate(x, scale_factor=moue_model.pair(self.spec.get("size", 2)), mode="nearest")

    def flatten(self, x):
        # Rows, columns, channels: the order in the next layer's kernel.
        return x.movedim(1, -1).flatten(1)

    def dropout(self, x):
        return F.dropout(x, self.spec["rate"], self.training)

    def stochastic_depth(self, x):
        return x * F.dropout(x.new_ones(len(x), 1, 1, 1), self.spec["rate"], self.training)

    def leaky_relu(self, x):
        return F.leaky_relu(x, self.spec.get("negative_slope", 0.01))

    relu, silu, sigmoid, tanh, softmax = (
        lambda self, x, name=name: ACTIVATIONS[name](x) for name in ("relu", "silu", "sigmoid", "tanh", "softmax")
    )


class Residual(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.layers, self.shortcut = chain(spec["layers"]), chain(spec["shortcut"])
        self.activation = ACTIVATIONS[spec.get("activation", "linear")]

    def forward(self, x):
        return self.activation(self.layers(x) + self.shortcut(x))


class Concatenate(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.branches = nn.ModuleList(chain(branch) for branch in spec["branches"])

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class SqueezeExcite(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.gate = chain(spec["gate"])

    def forward(self, x):
        return x * self.gate(x).reshape(x.shape[:2] + (1,) * (x.dim() - 2))


BLOCKS = {"residual": Residual, "concatenate": Concatenate, "squeeze_excite": SqueezeExcite}


def chain(specs):
    return nn.Sequential(*(BLOCKS.get(spec["kind"], Layer)(spec) for spec in specs))


class MoueModel(nn.Module):
    """The whole model; in inference mode until `.train()` is called."""

    def __init__(self, path):
        super().__init__()
        document, layers = moue_model.read(path)
        self.classes, self.network = document["classes"], chain(layers)
        by_channel = {name: torch.tensor(document["normalisation"][name])[:, None, None] for name in ("mean", "std")}
        self.register_buffer("mean", by_channel["mean"])
        self.register_buffer("std", by_channel["std"])
        for name, values in zip(("factor", "summand"), moue_model.calibration(document)):
            self.register_buffer(name, torch.from_numpy(values))
        self.eval()

    def logits(self, pixels):
        return self.network((pixels / 255 - self.mean) / self.std).flatten(1)

    def forward(self, pixels):
        logits = self.logits(pixels)
        return F.softmax(self.factor * (logits - logits.mean(1, keepdim=True)) + self.summand, dim=1)


if __name__ == "__main__":
    from PIL import Image

    model = MoueModel(sys.argv[1])
    for path in sys.argv[2:]:
        pixels = numpy.asarray(Image.open(path).convert("L"), "f4")
        with torch.inference_mode():
            row = model(torch.from_numpy(pixels)[None, None])[0]
        print(f"{path}  {model.classes[int(row.argmax())]} {100 * float(row.max()):.1f} %")
