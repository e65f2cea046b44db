"""Decoding: images/s against the plain Pillow loop, what the worker processes cost, and what
reduced-scale JPEG decoding changes in the embeddings.

    python -m benchmarks.decode [--workers 2] [--runs 3] [--weights FILE]
"""

from __future__ import annotations

import argparse
import io
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.record import print_table, write_result
from likeness.encoders.preprocess import Preprocess
from likeness.imaging.decode import decode
from likeness.imaging.pool import DecodePool
from likeness.types import RgbImage

PREPROCESS = Preprocess(224, crop_pct=0.9, mean=(0.5,) * 3, std=(0.5,) * 3)
FACTORS = (1, 2, 3)
"""Of the side that the encoder scales to: how small a decoded picture may be."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.decode", description=__doc__)
    data = Path(os.environ.get("LIKENESS_TEST_DATA") or "../shared/data")
    parser.add_argument("--photos", type=Path, default=data / "photos")
    parser.add_argument(
        "--weights", type=Path, default=data / "weights/vit_tiny_patch16_224.safetensors"
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    paths = sorted(options.photos.glob("*.jpg"))[: options.images]
    if not paths:
        print(f"no photos in {options.photos}; name a folder of JPEGs with --photos")
        return 1
    small = [path.read_bytes() for path in paths]
    large = [camera_like(data, 12, seed) for seed, data in enumerate(small[:16])]
    figures: dict[str, Any] = {"speed": [], "reduced_scale": []}
    for name, files in ((f"{len(small)} photos, 256 px", small), ("16 of 3072 px and more", large)):
        figures["speed"] += speed(name, files, options.workers, options.runs)
    print_table(
        ["files", "what", "images/s", "CPU ms per image"],
        [[row["files"], row["what"], row["rate"], row["cpu_ms"]] for row in figures["speed"]],
    )
    print()
    if options.weights.is_file():
        figures["reduced_scale"] = reduced_scale(small, options.weights)
        print_table(
            ["files", "at least × the side needed", "reduced", "cosine min", "p10", "mean"],
            [list(row.values()) for row in figures["reduced_scale"]],
        )
    write_result(
        "decode",
        command=["python", "-m", "benchmarks.decode", *arguments],
        data=f"{len(paths)} of {options.photos.name}, and enlarged copies with camera noise",
        encoder=f"timm:vit_tiny_patch16_224@{options.weights.name}",
        figures=figures,
    )
    return 0


def speed(name: str, files: Sequence[bytes], workers: int, runs: int) -> list[dict[str, Any]]:
    """Rates of the plain loop, of `decode` in this process and of the pool."""
    min_side = PREPROCESS.min_side

    def plain() -> None:
        for data in files:
            PREPROCESS(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))

    def full() -> None:
        for data in files:
            PREPROCESS(decode(data, "file").pixels)

    def reduced() -> None:
        for data in files:
            PREPROCESS(decode(data, "file", min_side=min_side).pixels)

    rows = [
        _timed(name, "plain Pillow loop", len(files), runs, plain),
        _timed(name, "decode, in full", len(files), runs, full),
        _timed(name, "decode, reduced scale", len(files), runs, reduced),
    ]
    for hashed in (False, True):
        with DecodePool(
            workers, prepare={"vit": PREPROCESS}, min_side=min_side, perceptual_hash=hashed
        ) as pool:
            for future in [pool.submit(files[0], "warm") for _ in range(workers * 2)]:
                future.result()

            def pooled(pool: DecodePool = pool) -> None:
                for future in [pool.submit(data, "file") for data in files]:
                    future.result()

            what = f"pool of {workers}" + (", with perceptual hash" if hashed else "")
            rows.append(_timed(name, f"{what} (CPU: parent's share)", len(files), runs, pooled))
    return rows


def _timed(
    files: str, what: str, count: int, runs: int, work: Callable[[], None]
) -> dict[str, Any]:
    """Median images/s and this process's CPU time of `runs` runs."""
    rates, cpu = [], []
    for _ in range(runs):
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        rates.append(count / (time.perf_counter() - start))
        cpu.append((time.process_time() - start_cpu) * 1000 / count)
    return {
        "files": files,
        "what": what,
        "rate": statistics.median(rates),
        "cpu_ms": statistics.median(cpu),
        "runs": runs,
    }


def reduced_scale(photos: Sequence[bytes], weights: Path) -> list[dict[str, Any]]:
    """Cosines of embeddings at reduced scale against those of full decoding."""
    from likeness.encoders.loading import load_encoder  # slow to import, and needed last

    encoder = load_encoder(f"timm:vit_tiny_patch16_224@{weights}", device="cpu", precision="fp32")
    preprocess = encoder.preprocess
    chooser = random.Random(0)
    rows = []
    for enlarged in (4, 6, 9, 12):
        chosen = chooser.sample(photos, 24)
        files = [camera_like(data, enlarged, seed) for seed, data in enumerate(chosen)]
        full = encoder.embed_prepared(_prepared(preprocess, files, None))
        for factor in FACTORS:
            min_side = factor * preprocess.resized_side
            decoded = [decode(data, "file", min_side=min_side) for data in files]
            changed = sum(d.pixels.shape[0] not in {d.facts.height} for d in decoded)
            vectors = encoder.embed_prepared(_prepared(preprocess, files, min_side))
            cosines = (full * vectors).sum(axis=1)
            rows.append(
                {
                    "files": f"{len(files)} photos × {enlarged}",
                    "factor": factor,
                    "reduced": changed,
                    "min": float(cosines.min()),
                    "p10": float(np.quantile(cosines, 0.1)),
                    "mean": float(cosines.mean()),
                }
            )
    return rows


def camera_like(data: bytes, enlarged: int, seed: int) -> bytes:
    """A photo enlarged and given a sensor's noise: what a camera's large JPEG looks like."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    size = (image.width * enlarged, image.height * enlarged)
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS)).astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, 3, (*pixels.shape[:2], 1)).astype(np.float32)
    noisy: RgbImage = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _prepared(preprocess: Preprocess, files: Sequence[bytes], min_side: int | None) -> RgbImage:
    return np.stack([preprocess(decode(data, "f", min_side=min_side).pixels) for data in files])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
