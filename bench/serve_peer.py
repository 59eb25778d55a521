"""The service that many would write: FastAPI, Pillow and ONNX Runtime.

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


def look(body):
    face = Image.open(io.BytesIO(body)).convert("L").resize((48, 48), Image.Resampling.BILINEAR)
    values = numpy.asarray(face, dtype=numpy.float32)[None, None] / 255
    return session.run(None, {"input": values})[0][0]


@app.post("/v1/predict")
async def predict(request: Request):
    try:
        answer = await run_in_threadpool(look, await request.body())
    except OSError as error:
        raise HTTPException(422, str(error))
    best = int(answer.argmax())
    return {"label": LABELS[best], "confidence": float(answer[best]), "probabilities": dict(zip(LABELS, answer.tolist()))}
