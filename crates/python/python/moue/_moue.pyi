"""The compiled part; use the package `moue`."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import final

import numpy
from numpy.typing import NDArray

__all__: list[str]
VERSION: str

@final
class Predictor:
    def __new__(
        cls, model: str | PathLike[str], min_face: int, min_score: float, threads: int, precision: str, device: str
    ) -> Predictor: ...
    @property
    def classes(self) -> list[str]: ...
    @property
    def input_shape(self) -> tuple[int, int, int]: ...
    @property
    def uncertain_below(self) -> float: ...
    @property
    def precision(self) -> str: ...
    @property
    def device(self) -> str: ...
    def predict(
        self,
        pictures: Sequence[str | PathLike[str] | bytes | tuple[bytes, int, int, int]],
        detect: bool,
        allow_truncated: bool,
        tta: str | None,
    ) -> list[str]: ...
    def predict_faces(
        self, faces: NDArray[numpy.uint8] | NDArray[numpy.float32]
    ) -> NDArray[numpy.float32]: ...

def load(
    data: str | PathLike[str] | None, size: tuple[int, int] | None, channels: int, seed: int
) -> tuple[NDArray[numpy.uint8], NDArray[numpy.uint32], str]: ...
def train(
    arch: str,
    data: str | PathLike[str] | None,
    out: str | PathLike[str] | None,
    init: str | PathLike[str] | None,
    resume: bool,
    votes: str | PathLike[str] | None,
    fixes: str | PathLike[str] | None,
    options: Sequence[tuple[str, str]],
    precision: str | None,
    device: str,
    progress: Callable[[str], object] | None,
) -> str: ...
def evaluate(
    model: str | PathLike[str],
    data: str | PathLike[str] | None,
    split: str | None,
    tta: str | None,
    precision: str,
    device: str,
    votes: str | PathLike[str] | None,
    fixes: str | PathLike[str] | None,
    corruptions: str | None,
) -> str: ...
def plan(
    plan: tuple[Sequence[str], Sequence[str], int, int | None, str | None],
    data: str | PathLike[str] | None,
    out: str | PathLike[str],
    device: str,
) -> list[str]: ...
def compare(
    plan: tuple[Sequence[str], Sequence[str], int, int | None, str | None],
    data: str | PathLike[str] | None,
    out: str | PathLike[str],
    trains: bool,
    device: str,
) -> str: ...
def tune(
    space: str,
    data: str | PathLike[str] | None,
    out: str | PathLike[str] | None,
    limit: tuple[str | None, int | None],
    settings: tuple[str, str, bool, int | None, int, int, bool, str | None, str],
    options: Sequence[tuple[str, str]],
    seed: int | None,
    progress: Callable[[str], object] | None,
) -> str: ...
def audit(
    data: str | PathLike[str],
    out: str | PathLike[str] | None,
    settings: tuple[
        int,
        int | None,
        str | None,
        str | PathLike[str] | None,
        str | None,
        str | PathLike[str] | None,
        str | None,
    ],
    options: Sequence[tuple[str, str]],
    seed: int | None,
    progress: Callable[[str], object] | None,
) -> tuple[str, str, NDArray[numpy.uint32], NDArray[numpy.float32]] | None: ...
def space(name: str) -> list[str]: ...
def space_config(name: str, values: str, epochs: int | None, seed: int | None) -> str: ...
