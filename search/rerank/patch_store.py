"""Patch features on disk, compressed: one byte per number, a small file per image.

Derived data: the folder can be deleted at any time. An image id never changes its content, so a
file never goes stale; it is found by encoder fingerprint and image id. A damaged file is as good as
none.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from likeness.encoders.interface import Encoder
from likeness.errors import NoPatchTokens
from likeness.types import ImageIds, RgbImage
from search.rerank.matching import PatchFeatures, patch_features

_MAGIC = b"LKPATCH1"
_HEAD = struct.Struct("<8sHHHxxI")  # magic, grid rows, grid columns, width, CRC-32 of the rest
_FOLDER_OF = 1000
_CHECK_EVERY = 500


class PatchStore:
    """Features of the images of one space. Several processes may share a folder.

    folder: one per encoder fingerprint and collection. max_bytes: the oldest files go when there
    is more; checked now and then, so it may be passed by a few megabytes.
    """

    def __init__(self, folder: Path, *, max_bytes: int = 1 << 30) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._writes = 0

    def get(self, image_id: int) -> PatchFeatures | None:
        """What is stored of an image, or None; then nothing is, or it is damaged."""
        try:
            data = self._path(image_id).read_bytes()
        except OSError:
            return None
        return unpack(data)

    def put(self, image_id: int, features: PatchFeatures) -> None:
        """Store an image's features. A full disk loses the entry, not the search."""
        path = self._path(image_id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(pack(features))
                Path(name).replace(path)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError:
            return
        self._writes += 1
        if self._writes % _CHECK_EVERY == 0:
            self.trim()

    def trim(self) -> None:
        """Remove the files written longest ago until a tenth of the limit is free again."""
        files = []
        for path in self._folder.glob("*/*"):
            try:
                stat = path.stat()
            except OSError:
                continue  # another process was faster
            files.append((stat.st_mtime_ns, stat.st_size, path))
        excess = sum(size for _, size, _ in files) - self._max_bytes
        if excess <= 0:
            return
        excess += self._max_bytes // 10
        for _, size, path in sorted(files):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size

    def _path(self, image_id: int) -> Path:
        return self._folder / str(image_id // _FOLDER_OF) / f"{image_id}.patch"


def pack(features: PatchFeatures) -> bytes:
    """Bytes of features: tokens as int8, each row scaled to its largest; norms are 1 anyway."""
    largest = np.maximum(np.abs(features.tokens).max(axis=1, keepdims=True), np.float32(1e-12))
    body: bytes = np.rint(features.tokens * (127 / largest)).astype(np.int8).tobytes()
    rows, columns = features.grid
    return _HEAD.pack(_MAGIC, rows, columns, features.tokens.shape[1], zlib.crc32(body)) + body


def unpack(data: bytes) -> PatchFeatures | None:
    """Features of packed bytes, or None when they are damaged or of another format."""
    if len(data) < _HEAD.size:
        return None
    magic, rows, columns, width, checksum = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    if magic != _MAGIC or zlib.crc32(body) != checksum or len(body) != rows * columns * width:
        return None
    tokens = np.frombuffer(body, dtype=np.int8).reshape(rows * columns, width).astype(np.float32)
    norms = np.linalg.norm(tokens, axis=1, keepdims=True)
    return PatchFeatures(tokens / np.maximum(norms, np.float32(1)), (rows, columns))


def rounded(features: PatchFeatures) -> PatchFeatures:
    """Features as the store gives them back, so that a second look ranks as the first did."""
    back = unpack(pack(features))
    if back is None:
        raise ValueError("packed features do not unpack")
    return back


class StoredPatches:
    """Patch features of stored images, computed where they are not in the store yet.

    pixels: an image's pixels by id, or None when it cannot be read any more; of any scale at which
    the encoder's preprocessing does not notice.
    """

    def __init__(
        self, store: PatchStore, encoder: Encoder, pixels: Callable[[int], RgbImage | None]
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._pixels = pixels

    def features(self, image_ids: ImageIds) -> Sequence[PatchFeatures | None]:
        """One per image, in order. Raises NoPatchTokens when the encoder has none."""
        found = {int(image_id): self._store.get(int(image_id)) for image_id in image_ids}
        missing = [image_id for image_id, features in found.items() if features is None]
        size = max(1, self._encoder.batch_size)
        for start in range(0, len(missing), size):
            found.update(self._computed(missing[start : start + size]))
        return [found[int(image_id)] for image_id in image_ids]

    def _computed(self, image_ids: Sequence[int]) -> dict[int, PatchFeatures]:
        read = [(image_id, self._pixels(image_id)) for image_id in image_ids]
        have = [(image_id, pixels) for image_id, pixels in read if pixels is not None]
        computed = {}
        for (image_id, _), features in zip(
            have, features_of(self._encoder, [pixels for _, pixels in have]), strict=True
        ):
            computed[image_id] = rounded(features)
            self._store.put(image_id, computed[image_id])
        return computed


def features_of(encoder: Encoder, images: Sequence[RgbImage]) -> list[PatchFeatures]:
    """Patch features of images that are at hand. Raises NoPatchTokens."""
    grid = encoder.spec.patch_grid
    if grid is None:
        raise NoPatchTokens(encoder.spec.name, "its architecture keeps no tokens per patch")
    if not images:
        return []
    return [patch_features(tokens, grid) for tokens in encoder.patch_tokens(images)]
