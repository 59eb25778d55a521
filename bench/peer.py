"""One peer with one network, as a process that measures on request.

Reads requests `{"task", "batch_size", "seconds"}` from standard input, one a line, and responds with `{"value"}`:
images per second for the tasks `train` and `predict`, milliseconds for `latency`, bytes for `memory`. Each is the
median over steps after a warm-up, on noise that is already in memory, as in `moue bench`.
"""

import argparse
import json
import statistics
import sys
import time

import nets

WARM_UP_STEPS = 3
MIN_STEPS = 5


def median_seconds(seconds, step):
    for _ in range(WARM_UP_STEPS):
        step()
    begin, times = time.perf_counter(), []
    while len(times) < MIN_STEPS or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


class Torch:
    def __init__(self, model, train, threads, options):
        import torch

        self.torch = torch
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.bf16 = "bf16" in options
        self.input = model["input"]
        net = nets.torch_network(model).to(memory_format=torch.channels_last)
        if train["optimizer"] == "sgd":
            self.optimizer = torch.optim.SGD(
                net.parameters(), train["learning_rate"], momentum=train["momentum"], nesterov=train["nesterov"]
            )
        else:
            self.optimizer = torch.optim.Adam(net.parameters(), train["learning_rate"])
        self.loss = torch.nn.CrossEntropyLoss()
        self.net = torch.compile(net) if "compile" in options else net

    def images(self, batch):
        height, width, channels = self.input
        images = self.torch.randn(batch, channels, height, width)
        return images.contiguous(memory_format=self.torch.channels_last)

    def autocast(self):
        return self.torch.autocast("cpu", dtype=self.torch.bfloat16, enabled=self.bf16)

    def train_step(self, batch):
        images = self.images(batch)
        labels = self.torch.randint(nets.CLASSES, (batch,))

        def step():
            self.optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss = self.loss(self.net(images), labels)
            loss.backward()
            self.optimizer.step()

        return step

    def predict_step(self, batch):
        images = self.images(batch)

        def step():
            with self.torch.inference_mode(), self.autocast():
                self.net(images)

        return step


class Keras:
    # Steps in one call of fit, so that its overhead for each epoch is small.
    STEPS = 8

    def __init__(self, model, train, threads, _options):
        import keras
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        self.tensorflow = tensorflow
        self.input = model["input"]
        self.net = nets.keras_network(model)
        if train["optimizer"] == "sgd":
            optimizer = keras.optimizers.SGD(train["learning_rate"], momentum=train["momentum"])
        else:
            optimizer = keras.optimizers.Adam(train["learning_rate"])
        self.net.compile(optimizer, loss="sparse_categorical_crossentropy")
        self.call = tensorflow.function(lambda x: self.net(x, training=False))

    def images(self, batch):
        return self.tensorflow.random.normal((batch, *self.input))

    def train_step(self, batch):
        images = self.images(batch * self.STEPS).numpy()
        labels = (images[:, 0, 0, 0] > 0).astype("int32")

        def step():
            self.net.fit(images, labels, batch_size=batch, epochs=1, verbose=0, shuffle=False)

        step.steps = self.STEPS
        return step

    def predict_step(self, batch):
        images = self.images(batch)
        return lambda: self.call(images).numpy()


class OnnxRuntime:
    def __init__(self, model, _train, threads, peer_options):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.input = model["input"]
        network = nets.onnx_network(model)
        if "int8" in peer_options:
            network = self.quantized(network)
        self.session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])

    def images(self, batch):
        import numpy

        height, width, channels = self.input
        return numpy.random.default_rng(0).standard_normal((batch, channels, height, width)).astype(numpy.float32)

    def quantized(self, network):
        """The network by ONNX Runtime's static quantization: QDQ, u8 activations, s8 weights by channel."""
        import pathlib
        import tempfile

        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(quantization.CalibrationDataReader):
            batches = iter([{"input": self.images(16)}])

            def get_next(self):
                return next(self.batches, None)

        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "network.onnx").write_bytes(network)
            quant_pre_process(folder / "network.onnx", folder / "inferred.onnx")
            quantization.quantize_static(
                folder / "inferred.onnx",
                folder / "quantized.onnx",
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            return (folder / "quantized.onnx").read_bytes()

    def predict_step(self, batch):
        images = self.images(batch)
        return lambda: self.session.run(None, {"input": images})


PEERS = {"torch": Torch, "keras": Keras, "onnxruntime": OnnxRuntime}


def peak_memory():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("peer", help="torch, keras or onnxruntime, with options: torch+bf16+compile")
    arguments.add_argument("architecture", help="a TOML file as `moue arch show ARCH --toml` prints it")
    arguments.add_argument("--threads", type=int, default=2)
    arguments = arguments.parse_args()
    name, *options = arguments.peer.split("+")
    with open(arguments.architecture) as file:
        model, train = nets.parse(file.read())
    peer = PEERS[name](model, train, arguments.threads, options)
    # Libraries may print to stdout, so they get stderr in its place; only responses go to stdout.
    responses = sys.stdout
    sys.stdout = sys.stderr
    steps = {}
    for line in sys.stdin:
        request = json.loads(line)
        task, batch, seconds = request["task"], request["batch_size"], request["seconds"]
        try:
            kind = "train" if task in ("train", "memory") else "predict"
            if (kind, batch) not in steps:
                steps[kind, batch] = getattr(peer, f"{kind}_step")(batch)
            step = steps[kind, batch]
            if name == "torch":
                peer.net.train(kind == "train")
            time_of_step = median_seconds(seconds, step) / getattr(step, "steps", 1)
            value = {
                "train": lambda: batch / time_of_step,
                "predict": lambda: batch / time_of_step,
                "latency": lambda: time_of_step * 1e3,
                "memory": peak_memory,
            }[task]()
            response = {"value": value}
        except Exception as error:
            response = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(response), file=responses, flush=True)


if __name__ == "__main__":
    main()
