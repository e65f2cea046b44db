"""Embeddings of photos under many random crops and colour changes, as float16 shards on disk.

Real photos, a real Vision Transformer, and neighbours that are views of one scene: what an index
of a photo collection holds. ViT-Tiny (timm, 192 numbers) is run at 96 pixels on crops with other
colours. Each gives 16 vectors: its class token, and the means of its patch tokens over 15 random
windows, which are crops within the crop; so a million vectors take 62,500 passes, not a million.
Stopped at any moment, it goes on where it was; a shard is always the same.
"""

from __future__ import annotations

import argparse
import os
import sys
import tarfile
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional

from likeness.types import StoredVectors
from likeness.vectors.truth import nearest_under

DIM = 192
SIDE = 96
SHARD = 16_384
WINDOWS = 15
_BATCH = 256
_HELD_SIDE = 144
"""Photos are held at this square size; crops are taken from it."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.views", description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("LIKENESS_TEST_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--views", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    if options.data is None:
        parser.error("name the folder of test data with --data or LIKENESS_TEST_DATA")
    options.out.mkdir(parents=True, exist_ok=True)
    photos = held_photos(Path(options.data), options.out / "photos.npy")
    model = vit_tiny(Path(options.data) / "weights" / "vit_tiny_patch16_224.safetensors")
    begun, made = time.perf_counter(), 0
    for shard in range(-(-options.views // SHARD)):
        path = options.out / f"views-{shard:04d}.npy"
        if path.exists():
            continue
        rows = embed_shard(model, photos, shard)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, rows)
        partial.rename(path)
        made += len(rows)
        rate = made / (time.perf_counter() - begun)
        print(f"{path.name}: {rate:.0f} views/s", flush=True)
    rows = load_views(options.out, options.views)
    print(f"{len(rows)} views; local intrinsic dimension {dimension_of(rows):.1f}")
    return 0


def dimension_of(rows: StoredVectors) -> float:
    """Median local intrinsic dimension at 200 of the views, by their 100 nearest others."""
    from benchmarks.vector_sets import local_dimension  # which reads what this module makes

    chosen = np.sort(np.random.default_rng(0).choice(len(rows), 200, replace=False))
    asked = rows[chosen].astype(np.float32)
    (near,) = nearest_under(np.arange(len(rows)), rows, asked, 101, [None])
    return local_dimension(near.scores[:, 1:])  # the nearest of all is itself


def load_views(folder: Path, limit: int) -> StoredVectors:
    """float16 [n, 192] of the shards that are there, n <= limit."""
    shards = [np.load(path) for path in sorted(folder.glob("views-*.npy"))]
    if not shards:
        raise FileNotFoundError(f"no views in {folder}; make them with `benchmarks.views`")
    return np.ascontiguousarray(np.concatenate(shards)[:limit])


def vit_tiny(weights: Path) -> torch.nn.Module:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, dynamic_img_size=True)
    model.load_state_dict(
        {k: v for k, v in load_file(weights).items() if not k.startswith("head.")}
    )
    return model.eval().to(torch.bfloat16)


def held_photos(data: Path, cache: Path) -> torch.Tensor:
    """uint8 [n, 3, s, s] of every photo of the data set, kept in one file."""
    if not cache.exists():
        held = []
        for image in _images(data):
            image.draft("RGB", (_HELD_SIDE, _HELD_SIDE))
            squashed = image.convert("RGB").resize((_HELD_SIDE, _HELD_SIDE))
            held.append(np.asarray(squashed).transpose(2, 0, 1))
        np.save(cache, np.stack(held))
    return torch.from_numpy(np.load(cache))


def _images(data: Path) -> Iterator[Image.Image]:
    files = sorted((data / "photos").glob("*.JPEG")) + sorted((data / "photos").glob("*.jpg"))
    files += sorted((data / "clothing").rglob("*.jpg"))
    yield from (Image.open(path) for path in files)
    for shard in sorted((data / "train_photos").glob("photos-*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    content = tar.extractfile(member)
                    if content is not None:
                        yield Image.open(BytesIO(content.read()))


@torch.inference_mode()
def embed_shard(model: torch.nn.Module, photos: torch.Tensor, shard: int) -> StoredVectors:
    """float16 [SHARD, 192], unit length. Which views they are follows from the shard's number."""
    random = torch.Generator().manual_seed(shard)
    rows = []
    for _ in range(SHARD // (_BATCH * (WINDOWS + 1))):
        chosen = torch.randint(len(photos), (_BATCH,), generator=random)
        views = _changed(photos[chosen], random)
        tokens = model.forward_features(views.to(torch.bfloat16)).float()  # type: ignore[operator]
        features = torch.cat([tokens[:, :1], _windows(tokens[:, 1:], random)], dim=1)
        rows.append(functional.normalize(features.flatten(0, 1)).to(torch.float16).numpy())
    return np.concatenate(rows)


def _windows(patches: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """[n, 15, d]: means of patch tokens [n, p, d] over random rectangles of at least 2 by 2."""
    n, p, _ = patches.shape
    side = int(p**0.5)
    place = torch.arange(side)

    def covered() -> torch.Tensor:
        length = torch.randint(2, side + 1, (n, WINDOWS, 1), generator=random)
        start = (torch.rand((n, WINDOWS, 1), generator=random) * (side - length + 1)).long()
        return ((place >= start) & (place < start + length)).float()

    mask = (covered()[..., :, None] * covered()[..., None, :]).flatten(2)
    return mask @ patches / mask.sum(dim=2, keepdim=True)


def _changed(pictures: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Crops of 20 to 100 % of the area, mirrored half the time, with other colours; in ±1."""
    n = len(pictures)

    def draw(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand((n, *shape), generator=random)

    side = draw(0.2, 1.0).sqrt()
    stretch = draw(-0.25, 0.25).exp()
    width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    flip = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width * flip, height
    theta[:, 0, 2], theta[:, 1, 2] = (1 - width) * draw(-1, 1), (1 - height) * draw(-1, 1)
    grid = functional.affine_grid(theta, [n, 3, SIDE, SIDE], align_corners=False)
    views = functional.grid_sample(
        pictures.float() / 127.5 - 1, grid, padding_mode="reflection", align_corners=False
    )
    grey = views.mean(dim=1, keepdim=True)
    views = grey + (views - grey) * draw(0.2, 1.6, 1, 1, 1)
    return (
        views * draw(0.6, 1.4, 1, 1, 1) * draw(0.9, 1.1, 3, 1, 1) + draw(-0.2, 0.2, 1, 1, 1)
    ).clamp(-1, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
