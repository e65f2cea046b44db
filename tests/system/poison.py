"""Pictures of one colour that do harm: to the decoder that prepares them, or to a whole worker."""

from __future__ import annotations

import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from likeness.encoders.preprocess import Preprocess
from likeness.types import Embeddings, PreparedBatch, RgbImage
from tests.system.indexing_run import SlowEncoder

KILLS_DECODER, HANGS, EATS_MEMORY = (1, 2, 3), (4, 5, 6), (7, 8, 9)
KILLS_WORKER = (10, 11, 12)


def write_poison(path: Path, colour: tuple[int, int, int]) -> None:
    """A PNG all in one colour."""
    Image.new("RGB", (64, 48), colour).save(path)


@dataclass(frozen=True)
class PoisonedPreprocess(Preprocess):
    """Stands for a decoder with holes in it."""

    def __call__(self, image: RgbImage) -> RgbImage:
        colour = tuple(image[0, 0].tolist())
        if colour == KILLS_DECODER:
            os.kill(os.getpid(), signal.SIGSEGV)
        if colour == HANGS:
            ctypes.PyDLL(None).sleep(600)  # holds the interpreter's lock, as a C library that hangs
        if colour == EATS_MEMORY:
            held = [np.ones(2**26, np.uint8) for _ in range(64)]
            del held
        return super().__call__(image)


class PoisonedEncoder(SlowEncoder):
    """Falls over one picture, and takes its process with it."""

    def __init__(self, seconds_per_batch: float) -> None:
        super().__init__(seconds_per_batch)
        self.preprocess = PoisonedPreprocess(size=self.spec.input_size)

    def embed_prepared(self, batch: PreparedBatch) -> Embeddings:
        if (batch == np.array(KILLS_WORKER, np.uint8)).all(axis=(1, 2, 3)).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed_prepared(batch)
