"""Settings to live objects: the catalog, encoders loaded once per process, folders of indexes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import Space
from likeness.encoders.batch_memory import BatchMemory
from likeness.encoders.interface import Encoder
from likeness.encoders.loading import load_encoder
from likeness.errors import SettingsError, SpaceMismatch, WeightsNotFound
from likeness.imaging.decode import DecodeLimits
from likeness.imaging.pool import DecodePool
from likeness.settings import Settings
from likeness.types import RgbImage
from likeness.vectors.choice import Budget
from likeness.vectors.cores import limit_cores

WANTED_ENCODER = "open_clip:ViT-B-32/laion2b_s34b_b79k"
SHIPPED_ENCODER = "likeness:tiny"

QUERY_MIN_SIDE = 1024
"""A query picture keeps this many pixels on its shorter side: enough for every encoder's square
twice over, and for a part of the picture to be cut out."""


@dataclass(frozen=True, slots=True)
class ChosenEncoder:
    """An encoder and, when it is not the one that was wanted, the reason in words."""

    encoder: Encoder
    notice: str | None = None


class Runtime:
    """The live objects of one process; use as a context manager. Made by entry points only."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._catalog: Catalog | None = None
        self._encoders: dict[str, Encoder] = {}
        self._decoders: DecodePool | None = None
        # Nothing is opened or loaded twice; and loading, which takes long, holds up nothing else.
        self._lock, self._loading = threading.Lock(), threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._decoders is not None:
            self._decoders.close()
            self._decoders = None
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    @property
    def catalog(self) -> Catalog:
        """The catalog, opened (and migrated) on first use."""
        with self._lock:
            if self._catalog is None:
                self._make_home()
                self._catalog = Catalog.open(self.settings.catalog_url)
            return self._catalog

    @property
    def limits(self) -> DecodeLimits:
        settings = self.settings
        return DecodeLimits(
            max_pixels=settings.max_pixels,
            max_bytes=settings.max_bytes,
            timeout_s=settings.decode_timeout_s,
            memory_bytes=settings.decode_memory,
        )

    def load_image(self, data: bytes, name: str) -> RgbImage:
        """The pixels of a query picture, decoded in a worker process that it cannot harm.

        Raises ImageError when it cannot be used.
        """
        with self._lock:
            if self._decoders is None:
                self._decoders = DecodePool(
                    1,
                    limits=self.limits,
                    prepare={"pixels": np.ascontiguousarray},
                    min_side=QUERY_MIN_SIDE,
                )
            decoders = self._decoders
        return decoders.submit(data, name).result().arrays["pixels"]

    def encoder(self, name: str) -> Encoder:
        """The encoder of this name, loaded on first use. Raises UnknownEncoder, WeightsError."""
        with self._loading:
            if name not in self._encoders:
                self._limit_threads()
                settings = self.settings
                self._encoders[name] = load_encoder(
                    name,
                    device=settings.device,
                    precision=settings.precision,
                    weights_dir=settings.weights,
                    offline=settings.offline,
                    batch_size=settings.batch_size,
                    batch_memory=BatchMemory(settings.home / "batch-sizes.json"),
                )
            return self._encoders[name]

    def encoder_of(self, space: Space) -> Encoder:
        """The encoder that made a space's vectors; SpaceMismatch when its weights have changed."""
        encoder = self.encoder(space.encoder)
        if encoder.fingerprint != space.fingerprint:
            raise SpaceMismatch(
                f"{space.encoder} with fingerprint {encoder.fingerprint[:12]}",
                f"{space.encoder} with fingerprint {space.fingerprint[:12]}",
            )
        return encoder

    def choose_encoder(self, asked: str | None = None) -> ChosenEncoder:
        """The encoder for a new space: as asked for, as set, or the best that is to be had.

        Only the automatic choice falls back to the model that ships with Likeness, and the
        notice says so; an encoder asked for by name is loaded or the error is raised.
        """
        name = asked or self.settings.encoder
        if name != "auto":
            return ChosenEncoder(self.encoder(name))
        try:
            return ChosenEncoder(self.encoder(WANTED_ENCODER))
        except WeightsNotFound as missing:
            notice = (
                f"using {SHIPPED_ENCODER}, the small model that ships with Likeness: the weights "
                f"of {missing.encoder} are not on this machine and cannot be fetched. For better "
                "answers see `likeness models --advise` and supply weights with --encoder"
            )
            return ChosenEncoder(self.encoder(SHIPPED_ENCODER), notice)

    def index_dir(self, space: Space) -> Path:
        """Where the snapshots of a space lie."""
        return self.settings.index_root / str(space.collection_id) / str(space.id)

    @property
    def index_budget(self) -> Budget:
        """What an index may cost before another kind is chosen."""
        settings = self.settings
        return Budget(
            latency_ms=settings.index_latency_ms,
            memory_bytes=settings.index_memory,
            recall=settings.index_recall,
        )

    @property
    def index_device(self) -> str:
        """Where exact indexes are scanned: a GPU when one is asked for by name, else here."""
        device = self.settings.device
        return device if device.startswith("cuda") else "cpu"

    def _make_home(self) -> None:
        try:
            self.settings.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"home {self.settings.home} cannot be made: {error.strerror}; "
                "choose another with --home or LIKENESS_HOME"
            ) from error

    def _limit_threads(self) -> None:
        if self.settings.threads is not None:
            import torch  # slow to import, and not every command needs it

            torch.set_num_threads(self.settings.threads)
            limit_cores(self.settings.threads)
