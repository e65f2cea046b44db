"""What teacher and student are shown: the same crop at both sizes, and an edited copy of it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from likeness.errors import SourceError
from training.edits import colours, edit, grey, recompress
from training.photos import Photo, readable

BICUBIC = Image.Resampling.BICUBIC


@dataclass(frozen=True, slots=True)
class ViewSizes:
    """Pixels of a side: of the teacher's input and of the student's."""

    teacher: int
    student: int


class ViewDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Per photo: (crop for the teacher, the same crop for the student, edited copy), uint8.

    collages: share of items that show four photos side by side instead of one. Small training
    photos, enlarged, are blurred; a collage is as sharp as the large photos that are met later,
    and matching the teacher's answers asks for no photo that makes sense.

    Item (epoch, index): the randomness depends on seed, epoch and index only, so that a resumed
    run sees what the undisturbed one would have seen.
    """

    def __init__(
        self, photos: Sequence[Photo], sizes: ViewSizes, seed: int, collages: float = 0.0
    ) -> None:
        self.photos, self.sizes, self.seed, self.collages = photos, sizes, seed, collages

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        epoch, index = item
        rng = random.Random(f"{self.seed}/{epoch}/{index}")
        photo = self._from(index)
        if rng.random() < self.collages:
            others = [self._from(rng.randrange(len(self.photos))) for _ in range(3)]
            photo = collage([photo, *others], rng)
        return photo_views(photo, self.sizes, rng)

    def _from(self, index: int) -> Image.Image:
        """The photo at `index`, or the next one that can be decoded."""
        count = len(self.photos)
        following = (self.photos[(index + i) % count] for i in range(count))
        for _, image in readable(following):
            return image
        raise SourceError(str(self.photos[index].file), "none of the photos can be decoded")


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Endless shuffled batches of (epoch, index), from any step on."""

    def __init__(self, count: int, batch_size: int, seed: int, first_step: int = 0) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.first_step = first_step
        self.steps_per_epoch = max(1, count // batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, skipped = divmod(self.first_step, self.steps_per_epoch)
        while True:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
            for step in range(skipped, self.steps_per_epoch):
                rows = order[step * self.batch_size : (step + 1) * self.batch_size]
                yield [(epoch, int(i)) for i in rows]
            epoch, skipped = epoch + 1, 0


def photo_views(
    photo: Image.Image, sizes: ViewSizes, rng: random.Random
) -> tuple[Tensor, Tensor, Tensor]:
    """(teacher's crop, student's same crop, edited copy), uint8 [s, s, 3].

    Half of the crops are the whole photo, as it is seen after training.
    """
    base = photo if rng.random() < 0.5 else random_crop(photo, rng)
    shown = altered(base, rng)
    square = shortest_square(shown) if base is photo else squashed_square(shown)
    copy = edit(base, rng)
    square_copy = shortest_square(copy) if rng.random() < 0.7 else squashed_square(copy)
    return (
        to_pixels(square, sizes.teacher),
        to_pixels(square, sizes.student),
        to_pixels(square_copy, sizes.student),
    )


def collage(photos: Sequence[Image.Image], rng: random.Random) -> Image.Image:
    """Four photos in two rows, at their own scale: each a random window of 60 to 100 %."""
    side = min(min(photo.size) for photo in photos)
    canvas = Image.new("RGB", (2 * side, 2 * side))
    for place, photo in enumerate(photos):
        window = max(8, round(side * math.sqrt(rng.uniform(0.6, 1.0))))
        left = rng.randint(0, photo.width - window)
        top = rng.randint(0, photo.height - window)
        part = photo.crop((left, top, left + window, top + window))
        if window != side:
            part = part.resize((side, side), BICUBIC)
        canvas.paste(part, (place % 2 * side, place // 2 * side))
    return canvas


def altered(image: Image.Image, rng: random.Random) -> Image.Image:
    """The mild alterations under which teacher and student are compared."""
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.4:
        image = colours(image, rng)
    if rng.random() < 0.1:
        image = grey(image, rng)
    if rng.random() < 0.2:
        image = recompress(image, rng)
    return image


def random_crop(image: Image.Image, rng: random.Random, least_area: float = 0.25) -> Image.Image:
    """RandomResizedCrop's window: `least_area` to all of the area, aspect 3:4 to 4:3."""
    area, ratio = rng.uniform(least_area, 1.0), math.exp(rng.uniform(-0.288, 0.288))
    side = math.sqrt(area * image.width * image.height)
    w = max(8, min(image.width, round(side * math.sqrt(ratio))))
    h = max(8, min(image.height, round(side / math.sqrt(ratio))))
    left, top = rng.randint(0, max(0, image.width - w)), rng.randint(0, max(0, image.height - h))
    return image.crop((left, top, left + w, top + h))


def shortest_square(image: Image.Image, crop_pct: float = 0.95) -> Image.Image:
    """The centred square of `crop_pct` of the shorter side."""
    side = max(1, round(min(image.size) * crop_pct))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def squashed_square(image: Image.Image) -> Image.Image:
    """The whole, whatever its aspect: `to_pixels` squashes it."""
    return image


def to_pixels(image: Image.Image, side: int) -> Tensor:
    """uint8 [side, side, 3], resized (bicubic) whatever the aspect."""
    return torch.from_numpy(np.asarray(image.resize((side, side), BICUBIC)).copy())
