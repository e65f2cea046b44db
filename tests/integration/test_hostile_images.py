"""Every odd, broken and malicious file of the hostile set, through the decode workers."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from likeness.encoders.preprocess import Preprocess
from likeness.errors import ImageError
from likeness.imaging.decode import DecodeLimits
from likeness.imaging.pool import DecodePool, PreparedImage
from tests.fakes.pictures import draw_pixels
from tests.unit.imaging.drawing import encoded, heic

KNOWN_CODES = {"corrupt", "unsupported_format", "too_large", "timeout", "decoder_crashed"}
MIB = 1 << 20


@pytest.mark.slow
def test_every_hostile_file_is_ready_or_failed_with_a_reason_and_nothing_leaks(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(path for path in (shared_data / "hostile").rglob("*") if path.is_file())
    if not files:
        pytest.skip("the hostile set is not among the test data")
    preprocess = Preprocess(224)
    limits = DecodeLimits(timeout_s=20)
    outcomes: Counter[str] = Counter()
    threads = threading.active_count()
    with DecodePool(
        2,
        limits=limits,
        prepare={"vit": preprocess},
        min_side=preprocess.min_side,
        perceptual_hash=True,
        thumbnail_side=256,
    ) as pool:
        before = resident_bytes()
        for _ in range(2):
            futures = [(path, pool.submit(path.read_bytes(), str(path))) for path in files]
            for path, future in futures:
                outcomes[outcome(path, partial(future.result, 120))] += 1
        growth = resident_bytes() - before
    assert sum(outcomes.values()) == 2 * len(files)
    assert outcomes["ready"] > 0.3 * 2 * len(files)
    assert outcomes["timeout"] == 0
    assert outcomes["decoder_crashed"] == 0
    assert growth < 400 * MIB, f"the parent grew by {growth / MIB:.0f} MiB"
    assert threading.active_count() == threads
    with capsys.disabled():
        counts = ", ".join(f"{name} {n // 2}" for name, n in outcomes.most_common())
        print(f"\n{len(files)} hostile files: {counts}; parent grew {growth / MIB:.0f} MiB")


@pytest.mark.parametrize("kind", ["AVIF", "HEIF", "JPEG2000", "WEBP", "TIFF", "JPEG"])
def test_damaged_pictures_of_every_c_library_cost_at_most_a_worker(kind: str) -> None:
    pixels = draw_pixels(3, (160, 120))
    sample = heic(pixels) if kind == "HEIF" else encoded(pixels, kind)
    chooser = random.Random(kind)
    limits = DecodeLimits(timeout_s=10, max_pixels=4_000_000, memory_bytes=512 * MIB)
    outcomes: Counter[str] = Counter()
    with DecodePool(2, limits=limits, prepare={"vit": Preprocess(224)}, thumbnail_side=64) as pool:
        futures = []
        for i in range(150):
            data = bytearray(sample)
            for _ in range(chooser.randint(1, 12)):
                # Headers are where a flipped byte does the most.
                place = chooser.randrange(len(data) if i % 2 else min(len(data), 400))
                data[place] = chooser.randrange(256)
            futures.append(pool.submit(bytes(data), f"damaged{i}"))
        for i, future in enumerate(futures):
            outcomes[outcome(Path(f"damaged{i}"), partial(future.result, 120))] += 1
        assert pool.submit(sample, "sound").result(120).facts.width == 160
    assert sum(outcomes.values()) == 150
    assert outcomes["decoder_crashed"] + outcomes["timeout"] <= 15


def outcome(path: Path, result: Callable[[], PreparedImage]) -> str:
    """`ready` or the error's code, having checked that either is complete."""
    failure: ImageError | None = None
    prepared: PreparedImage | None = None
    try:
        prepared = result()
    except ImageError as error:
        failure = error
    if failure is not None:
        assert failure.code in KNOWN_CODES
        assert failure.name == str(path)
        assert len(failure.reason) > 5
        return failure.code
    assert prepared is not None
    assert prepared.arrays["vit"].shape == (224, 224, 3)
    assert prepared.facts.width * prepared.facts.height <= 100_000_000
    assert prepared.thumbnail
    return "ready"


def resident_bytes() -> int:
    if sys.platform != "linux":
        return 0
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if "VmRSS" in line)
