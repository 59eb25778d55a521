"""Predicts facial expressions in pictures on a cluster, with Ray Data: pictures or Parquet in, Parquet out.

    python examples/ray_annotate.py s3://bucket/photos out/ --workers 64 --address auto
    python examples/ray_annotate.py rows.parquet out/ --column image --workers 2

Every picture gives one row: `path` (or the other columns of the Parquet file), `width`, `height`, `error` (null on
success) and `faces`, a list of box, label, confidence, `uncertain` and probabilities. If a node is lost, others repeat
its unfinished blocks; no picture has two rows. Needs `ray[data]` and the wheel on every node; docs/guides/machines.md
describes the use of many machines."""

import argparse

import moue
import pyarrow
import ray

ENDINGS = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"]
NUMBER = pyarrow.float32()
FACES = pyarrow.list_(
    pyarrow.struct(
        {
            "box": pyarrow.struct(dict.fromkeys(("x", "y", "width", "height"), pyarrow.uint32())),
            "label": pyarrow.string(),
            "confidence": NUMBER,
            "uncertain": pyarrow.bool_(),
            "probabilities": pyarrow.map_(pyarrow.string(), NUMBER),
        }
    )
)


# Shares of a core. Reading and writing mostly wait; a node with one core has room for a worker and both, so that the
# work continues when it is the only node left.
WORKER, TRANSFER = 0.8, 0.1


class Annotator:
    """A model on one core; Ray creates one for each worker."""

    def __init__(self, model, column, detect):
        self.predictor, self.column, self.detect = moue.Predictor(model, threads=1), column, detect

    def __call__(self, batch):
        pictures = batch.column(self.column).to_pylist()
        predictions = self.predictor.predict([picture or b"" for picture in pictures], detect=self.detect)
        batch = batch.drop_columns([self.column])
        for name, kind in (("width", pyarrow.uint32()), ("height", pyarrow.uint32()), ("error", pyarrow.string())):
            values = [getattr(prediction, name) for prediction in predictions]
            batch = batch.append_column(name, pyarrow.array(values, kind))
        faces = [list(map(row, prediction.faces)) for prediction in predictions]
        return batch.append_column("faces", pyarrow.array(faces, FACES))


def row(face):
    return {
        "box": vars(face.box),
        "label": face.label,
        "confidence": face.confidence,
        "uncertain": face.uncertain,
        "probabilities": list(face.probabilities.items()),
    }


def annotate(source, out, *, column="bytes", model="default", workers=1, detect=True, batch_size=32):
    """Writes the predictions for a folder of pictures, or for a Parquet file or folder with one in `column`."""
    # Enough blocks that workers finish at about the same time, and that little is lost with a node.
    blocks = {"override_num_blocks": 8 * workers, "num_cpus": TRANSFER}
    if column == "bytes":
        pictures = ray.data.read_binary_files(source, include_paths=True, file_extensions=ENDINGS, **blocks)
    else:
        pictures = ray.data.read_parquet(source, **blocks)
    predicted = pictures.map_batches(
        Annotator,
        fn_constructor_args=(model, column, detect),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        num_cpus=WORKER,
    )
    predicted.write_parquet(out, ray_remote_args={"num_cpus": TRANSFER})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="folder of pictures, or Parquet")
    parser.add_argument("out", help="folder for Parquet")
    parser.add_argument("--column", default="bytes", help="column of a Parquet source that contains image files")
    parser.add_argument("--model", default="default")
    parser.add_argument("--workers", type=int, default=1, help="maximum number of cores")
    parser.add_argument("--no-detect", action="store_true", help="use the whole picture as the face")
    parser.add_argument("--address", help="address of the cluster; `auto` for the one that this machine is part of")
    arguments = parser.parse_args()
    ray.init(address=arguments.address)
    annotate(
        arguments.source,
        arguments.out,
        column=arguments.column,
        model=arguments.model,
        workers=arguments.workers,
        detect=not arguments.no_detect,
    )


if __name__ == "__main__":
    main()
