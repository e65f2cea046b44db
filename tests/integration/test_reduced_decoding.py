"""Reduced-scale JPEG decoding against full decoding, by what an encoder makes of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.decode import camera_like
from likeness.encoders.loading import load_encoder
from likeness.imaging.decode import decode


@pytest.mark.slow
@pytest.mark.parametrize("enlarged", [6, 9])
def test_large_jpegs_at_reduced_scale_embed_as_in_full(shared_data: Path, enlarged: int) -> None:
    weights = shared_data / "weights" / "vit_tiny_patch16_224.safetensors"
    photos = sorted((shared_data / "photos").glob("*.jpg"))[::100]
    if not weights.is_file() or not photos:
        pytest.skip("the photos or the weights are not among the test data")
    encoder = load_encoder(f"timm:vit_tiny_patch16_224@{weights}", device="cpu", precision="fp32")
    min_side = encoder.preprocess.min_side
    files = [camera_like(path.read_bytes(), enlarged, 0) for path in photos]
    full = [decode(data, "full") for data in files]
    reduced = [decode(data, "reduced", min_side=min_side) for data in files]
    assert [one.facts for one in reduced] == [one.facts for one in full]
    shrunk = sum(
        one.pixels.shape != other.pixels.shape for one, other in zip(reduced, full, strict=True)
    )
    assert shrunk >= len(files) // 2
    cosines = np.sum(
        encoder.embed([one.pixels for one in full]) * encoder.embed([o.pixels for o in reduced]),
        axis=1,
    )
    assert cosines.min() >= 0.995
