"""Adds 9 to the last class's bias in an ONNX file: edit.py IN OUT ARRAY"""

import sys

import onnx
from onnx import numpy_helper

source, target, name = sys.argv[1:]
model = onnx.load(source)
array = next(array for array in model.graph.initializer if array.name == name)
values = numpy_helper.to_array(array).copy()
values[-1] += 9
array.CopyFrom(numpy_helper.from_array(values, name))
onnx.save(model, target)
