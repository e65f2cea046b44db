"""Embedding: images/s of each stage alone and of the whole pipeline, against the plain loop that
timm's documentation shows; with --memory, estimated against measured memory.

    python -m benchmarks.embed [--encoder NAME] [--photos FOLDER] [--images 600] [--runs 3]
    python -m benchmarks.embed --memory
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from benchmarks.embed_memory import memory_rows
from benchmarks.record import print_table, write_result
from indexer.pipeline import Pipeline, PipelineOptions
from indexer.progress import Progress
from indexer.sources import open_source
from likeness.catalog import Catalog
from likeness.encoders import load_encoder
from likeness.encoders.torch_tower import TorchTower
from likeness.imaging.decode import decode
from likeness.imaging.pool import DecodePool

# What the whole is held to: DESIGN's bars.
OF_SLOWEST_STAGE, OF_PLAIN_LOOP, OF_BARE_FORWARD_ON_GPU = 0.85, 1.6, 0.70

# Dense bf16 peak of cards, 10¹² operations per second, from their makers' data sheets.
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L4": 121.0, "4090": 165.0}


@dataclass(frozen=True, slots=True)
class Measured:
    """Median of `runs` rates, in images/s, and CPU time of this process and its children."""

    rate: float
    cpu_ms: float
    runs: int


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.embed", description=__doc__)
    data = Path(os.environ.get("LIKENESS_TEST_DATA") or "../shared/data")
    weights = data / "weights" / "vit_tiny_patch16_224.safetensors"
    parser.add_argument("--encoder", help="default: ViT-Ti/16 with the test data's weights")
    parser.add_argument("--photos", type=Path, default=data / "photos")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--random", action="store_true", help="random weights: speed only")
    parser.add_argument("--memory", action="store_true", help="estimates against measured peaks")
    parser.add_argument("--name", default="embed", help="of the file of results")
    options = parser.parse_args(arguments)
    if options.memory:
        return memory(arguments)
    name = options.encoder or f"timm:vit_tiny_patch16_224@{weights}"
    paths = sorted(options.photos.glob("*.jpg"))[: options.images]
    if not paths:
        print(f"no photos in {options.photos}; name a folder of JPEGs with --photos")
        return 1
    encoder = cast(
        TorchTower,
        load_encoder(name, device=options.device, random_seed=0 if options.random else None),
    )
    bench = Bench(encoder, name, paths, options.workers, options.runs, random=options.random)
    figures = bench.run()
    write_result(
        options.name,
        command=["python", "-m", "benchmarks.embed", *arguments],
        data=f"{len(paths)} photos of {options.photos.name}, shorter side 256",
        encoder=f"{encoder.record.name} {encoder.fingerprint[:12]}",
        figures=figures,
    )
    return 0


def memory(arguments: Sequence[str]) -> int:
    rows = memory_rows()
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    write_result(
        "embed-memory",
        command=["python", "-m", "benchmarks.embed", *arguments],
        data="random squares",
        encoder=None,
        figures={"memory": rows},
    )
    return 0


class Bench:
    """One encoder over one set of files. Every measurement covers all files, caches warm."""

    def __init__(
        self,
        encoder: TorchTower,
        name: str,
        paths: Sequence[Path],
        workers: int,
        runs: int,
        *,
        random: bool,
    ) -> None:
        self.encoder, self.name, self.paths = encoder, name, paths
        self.workers, self.runs, self.random = workers, runs, random
        self.files = [path.read_bytes() for path in paths]
        self.pixels = [decode(data, "photo").pixels for data in self.files]
        self.prepared = encoder.preprocess.batch(self.pixels)

    def run(self) -> dict[str, Any]:
        """Measure, print, and return what is written down.

        Runs of different things take turns, so that a busy machine is unfair to all alike.
        """
        cores = len(os.sched_getaffinity(0))
        measures: dict[str, Callable[[], None]] = {
            "read": self.read,
            "decode": self.decode,
            "preprocess": self.preprocess,
            "forward": self.forward,
            "whole pipeline": self.whole,
            "plain loop, fp32, one by one": self.plain(1),
            "plain loop, fp32, batches of 32": self.plain(32),
        }
        measured = self._measured(measures)
        stages = {stage: measured[stage] for stage in list(measures)[:4]}
        slowest = min(stages, key=lambda stage: stages[stage].rate)
        whole = measured["whole pipeline"].rate
        plain = max(row.rate for label, row in measured.items() if label.startswith("plain"))
        # Where stages share the cores, their CPU times add up, and no overlap helps.
        shared = cores * 1000 / sum(row.cpu_ms for row in stages.values())
        ratios = {
            f"of the slowest stage alone ({slowest})": (
                whole / stages[slowest].rate,
                OF_SLOWEST_STAGE,
            ),
            "of the plain loop, the better one": (whole / plain, OF_PLAIN_LOOP),
        }
        on_gpu = self.encoder.spec.device.startswith("cuda")
        if on_gpu:
            ratios["of the bare forward pass"] = (
                whole / measured["forward"].rate,
                OF_BARE_FORWARD_ON_GPU,
            )
        print_table(
            ["what", "images/s", "CPU ms per image"],
            [[label, row.rate, row.cpu_ms] for label, row in measured.items()],
        )
        print()
        print_table(["the whole pipeline runs at", "times", "bar"],
                    [[label, *pair] for label, pair in ratios.items()])  # fmt: skip
        spec = self.encoder.spec
        print(
            f"\n{self.encoder.record.name}, {spec.precision} on {spec.device}, batches of "
            f"{self.encoder.batch_size}, {cores} cores, {self.workers} decode workers, "
            f"{len(self.files)} images, median of {self.runs} runs"
        )
        if not on_gpu:
            print(f"All stages on these cores together could do {shared:.0f} images/s at most.")
        tflops = measured["forward"].rate * self.encoder.record.giga_flops / 1000
        share = self._share_of_peak(tflops)
        print(f"The bare forward pass does {tflops:.2f} TFLOP/s{share or ''}.")
        return {
            "precision": self.encoder.spec.precision,
            "device": self.encoder.spec.device,
            "batch_size": self.encoder.batch_size,
            "workers": self.workers,
            "runs": self.runs,
            "rates": {label: row.rate for label, row in measured.items()},
            "cpu_ms": {label: row.cpu_ms for label, row in measured.items()},
            "ratios": {label: pair[0] for label, pair in ratios.items()},
            "bound_by_cores": shared,
            "tflops": tflops,
        }

    def read(self) -> None:
        for path in self.paths:
            path.read_bytes()

    def decode(self) -> None:
        """By the decode processes, bytes to pixels, which stay there."""
        minimum = self.encoder.preprocess.min_side
        with DecodePool(self.workers, min_side=minimum) as pool:
            pool.submit(self.files[0], "warm").result()
            self._start()
            for future in [pool.submit(data, "photo") for data in self.files]:
                future.result()
            self._stop()

    def preprocess(self) -> None:
        with ThreadPoolExecutor(self.workers) as threads:
            list(threads.map(self.encoder.preprocess, self.pixels))

    def forward(self) -> None:
        size = self.encoder.batch_size
        for start in range(0, len(self.prepared), size):
            self.encoder.embed_prepared(self.prepared[start : start + size])

    def whole(self) -> None:
        """The indexer's own: scan, read, hash, decode, embed, commit to a new SQLite catalog."""
        encoder = self.encoder
        with tempfile.TemporaryDirectory() as folder:
            pictures = Path(folder) / "pictures"
            pictures.mkdir()
            for path in self.paths:
                (pictures / path.name).symlink_to(path.resolve())
            with (
                Catalog.open(f"sqlite:///{folder}/catalog.db") as catalog,
                open_source(str(pictures), follow_symlinks=True) as source,
            ):
                collection = catalog.create_collection("benchmark")
                space = catalog.ensure_space(
                    collection.id,
                    encoder=encoder.spec.name,
                    fingerprint=encoder.fingerprint,
                    dim=encoder.spec.dim,
                    towers=encoder.spec.towers,
                )
                pipeline = Pipeline(
                    catalog,
                    collection.id,
                    lambda: {space.id: encoder},
                    PipelineOptions(decode_workers=self.workers),
                    progress=Progress(),
                    stop=threading.Event(),
                )
                self._start()
                pipeline.run([source])
                self._stop()
                ready = catalog.counts(collection.id).ready
        if ready < len(set(self.files)):
            raise RuntimeError(f"the pipeline stored {ready} of {len(self.files)} images")

    def plain(self, batch: int) -> Callable[[], None]:
        """What the libraries' documentation shows: open, transform, stack, model, in fp32."""
        model, transform = self._as_documented()

        def loop() -> None:
            with torch.inference_mode():
                for start in range(0, len(self.paths), batch):
                    images = [
                        transform(Image.open(path).convert("RGB"))
                        for path in self.paths[start : start + batch]
                    ]
                    model(torch.stack(images).to(self.encoder.spec.device))

        return loop

    def _as_documented(self) -> tuple[Any, Callable[[Image.Image], torch.Tensor]]:
        record = self.encoder.record
        plain = cast(
            TorchTower,
            load_encoder(
                self.name,
                device=self.encoder.spec.device,
                precision="fp32",
                random_seed=0 if self.random else None,
            ),
        )
        if record.library == "open_clip":
            from open_clip.transform import PreprocessCfg, image_transform_v2

            visual = cast(Any, plain.model).visual
            config = PreprocessCfg(**visual.preprocess_cfg)
            return cast(Any, plain.model).encode_image, image_transform_v2(config, is_train=False)
        if record.library == "timm":
            from timm.data.config import resolve_data_config
            from timm.data.transforms_factory import create_transform

            config = cast(Any, resolve_data_config)({}, model=plain.model)
            return plain.model, cast(Any, create_transform)(**config)
        prepare, shift, scale = plain.preprocess, plain.preprocess.mean, plain.preprocess.std

        def transform(image: Image.Image) -> torch.Tensor:
            square = torch.from_numpy(prepare(np.asarray(image)).copy()).permute(2, 0, 1) / 255
            return (square - torch.tensor(shift)[:, None, None]) / torch.tensor(scale)[
                :, None, None
            ]

        return plain._features, transform

    def _measured(self, measures: dict[str, Callable[[], None]]) -> dict[str, Measured]:
        walls: dict[str, list[float]] = {label: [] for label in measures}
        cpus: dict[str, list[float]] = {label: [] for label in measures}
        self.forward()
        for _ in range(self.runs):
            for label, measure in measures.items():
                self._cut: tuple[float, float] | None = None
                self._start()
                measure()
                if self._cut is None:
                    self._stop()
                assert self._cut is not None
                walls[label].append(self._cut[0])
                cpus[label].append(self._cut[1])
        n = len(self.files)
        return {
            label: Measured(
                n / statistics.median(walls[label]),
                1000 * statistics.median(cpus[label]) / n,
                self.runs,
            )
            for label in measures
        }

    def _start(self) -> None:
        """Begin (again): what a measurement sets up first does not count."""
        self._began = time.perf_counter(), _cpu_seconds()

    def _stop(self) -> None:
        wall, cpu = self._began
        self._cut = time.perf_counter() - wall, _cpu_seconds() - cpu

    def _share_of_peak(self, tflops: float) -> str | None:
        if not self.encoder.spec.device.startswith("cuda"):
            return None
        card = torch.cuda.get_device_name(0)
        for name, peak in PEAK_TFLOPS.items():
            if name in card and self.encoder.spec.precision != "fp32":
                return f", {100 * tflops / peak:.0f} % of the {peak:.0f} that {card} can do"
        return f" on {card}"


def _cpu_seconds() -> float:
    """CPU time of this process and of the children that still run."""
    own = sum(os.times()[:4])
    return own + sum(_child_seconds(child) for child in _children())


def _children() -> list[int]:
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return []
    found: list[int] = []
    for task in tasks.iterdir():
        listing = task / "children"
        if listing.exists():
            found += [int(pid) for pid in listing.read_text().split()]
    return found


def _child_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
