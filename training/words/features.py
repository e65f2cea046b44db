"""What the locked towers say of every training photo, computed once and kept on disk."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from likeness.encoders.tiny.network import TinyNetwork, normalise, pool
from training.photos import Photo
from training.progress import Report
from training.teacher import Teacher
from training.views import altered, random_crop, shortest_square, to_pixels


class WordViews(Dataset[Tensor]):
    """Each photo as it is seen after training (view 0), then mirrored, cropped, altered."""

    def __init__(self, photos: Sequence[Photo], side: int, view: int, crop_pct: float) -> None:
        self.photos, self.side, self.view, self.crop_pct = photos, side, view, crop_pct

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Tensor:
        image = self.photos[index].image()
        if self.view == 0:
            return to_pixels(shortest_square(image, self.crop_pct), self.side)
        if self.view == 1:
            mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            return to_pixels(shortest_square(mirrored, self.crop_pct), self.side)
        rng = random.Random(f"words/{self.view}/{index}")
        return to_pixels(altered(random_crop(image, rng, least_area=0.5), rng), self.side)


@dataclass(frozen=True, slots=True)
class PhotoFeatures:
    """Of n photos. pooled: float16 [views, n, 2 w], `pool` of the student's features.
    probabilities: float16 [n, classes], the teacher's."""

    pooled: Tensor
    probabilities: Tensor

    def save(self, path: Path) -> None:
        save_file({"pooled": self.pooled, "probabilities": self.probabilities}, path)

    @classmethod
    def load(cls, path: Path) -> PhotoFeatures:
        tensors = load_file(path)
        return cls(tensors["pooled"], tensors["probabilities"])


def _batches(
    photos: Sequence[Photo], side: int, view: int, crop_pct: float, workers: int
) -> DataLoader[Tensor]:
    return DataLoader(WordViews(photos, side, view, crop_pct), 32, num_workers=workers)


@torch.inference_mode()
def student_pooled(
    network: TinyNetwork,
    photos: Sequence[Photo],
    *,
    views: int,
    crop_pct: float,
    workers: int = 2,
    report: Report = print,
) -> Tensor:
    """`pool` of the student for each view of each photo: float16 [views, n, 2 w]."""
    network.eval()
    device = next(network.parameters()).device
    side = network.config.input_size
    found: list[Tensor] = []
    for view in range(views):
        parts: list[Tensor] = []
        for pixels in _batches(photos, side, view, crop_pct, workers):
            with torch.autocast(device.type, torch.bfloat16):
                features = network.features(normalise(pixels.to(device)))
            parts.append(pool(features).half().cpu())
        found.append(torch.cat(parts))
        report(f"student's features: view {view + 1} of {views}, {len(photos)} photos")
    return torch.stack(found)


def teacher_probabilities(
    teacher: Teacher,
    photos: Sequence[Photo],
    side: int,
    *,
    crop_pct: float,
    workers: int = 2,
    report: Report = print,
) -> Tensor:
    """The teacher's class probabilities for each whole photo: float16 [n, classes]."""
    parts: list[Tensor] = []
    for pixels in _batches(photos, side, 0, crop_pct, workers):
        _, logits = teacher(normalise(pixels))
        parts.append(logits.softmax(-1).half().cpu())
        if len(parts) % 50 == 0:
            report(f"teacher's classes: {32 * len(parts)} of {len(photos)} photos")
    return torch.cat(parts)
