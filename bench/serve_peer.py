"""A usual service for predictions: FastAPI, Pillow and ONNX Runtime.

    SERVE_NET=net.onnx uvicorn serve_peer:app --port 8090 --workers 2"""

import io
import os

import numpy
import onnxruntime
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from PIL import Image

LABELS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("SERVE_THREADS", "1"))
session = onnxruntime.InferenceSession(os.environ["SERVE_NET"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


def infer(body):
    face = Image.open(io.BytesIO(body)).convert("L").resize((48, 48), Image.Resampling.BILINEAR)
    values = numpy.asarray(face, dtype=numpy.float32)[None, None] / 255
    return session.run(None, {"input": values})[0][0]


@app.post("/v1/predict")
async def predict(request: Request):
    try:
        row = await run_in_threadpool(infer, await request.body())
    except OSError as error:
        raise HTTPException(422, str(error))
    best = int(row.argmax())
    probabilities = dict(zip(LABELS, row.tolist()))
    return {"label": LABELS[best], "confidence": float(row[best]), "probabilities": probabilities}
