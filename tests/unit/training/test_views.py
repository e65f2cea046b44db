from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.training.drawn import write_folder
from training.photos import find_photos
from training.views import EpochSampler, ViewDataset, ViewSizes, collage


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 30))
def test_a_sampler_started_late_gives_what_the_first_would_have_given(
    count: int, batch_size: int, first_step: int
) -> None:
    batch_size = min(batch_size, count)
    whole = itertools.islice(EpochSampler(count, batch_size, seed=3), first_step + 5)
    late = itertools.islice(EpochSampler(count, batch_size, 3, first_step), 5)
    assert list(whole)[first_step:] == list(late)


def test_an_epoch_shows_no_photo_twice_and_the_next_another_order() -> None:
    batches = list(itertools.islice(EpochSampler(12, 4, seed=0), 6))
    first = [i for batch in batches[:3] for _, i in batch]
    second = [i for batch in batches[3:] for _, i in batch]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_views_repeat_and_teacher_and_student_see_the_same_crop(tmp_path: Path) -> None:
    dataset = ViewDataset(find_photos([write_folder(tmp_path, 3)]), ViewSizes(64, 32), seed=1)
    for item in ((0, 0), (1, 2), (5, 1)):
        shown, seen, edited = dataset[item]
        assert all(map(torch.equal, dataset[item], (shown, seen, edited)))
        assert shown.shape == (64, 64, 3)
        assert seen.shape == edited.shape == (32, 32, 3)
        halved = shown.numpy().reshape(32, 2, 32, 2, 3).mean((1, 3))
        assert np.abs(halved - seen.numpy()).mean() < 6
    assert not torch.equal(dataset[0, 0][1], dataset[1, 0][1])


def test_a_collage_holds_four_photos_at_their_own_scale() -> None:
    photos = [Image.new("RGB", (60 + i, 50), (60 * i, 0, 255 - 60 * i)) for i in range(4)]
    joined = np.asarray(collage(photos, random.Random(0)))
    assert joined.shape == (100, 100, 3)
    quarters = (joined[:50, :50], joined[:50, 50:], joined[50:, :50], joined[50:, 50:])
    for i, quarter in enumerate(quarters):
        assert (quarter == (60 * i, 0, 255 - 60 * i)).all()


def test_views_of_collages_repeat_too(tmp_path: Path) -> None:
    photos = find_photos([write_folder(tmp_path, 5)])
    dataset = ViewDataset(photos, ViewSizes(64, 32), seed=1, collages=1.0)
    assert all(map(torch.equal, dataset[0, 3], dataset[0, 3]))
    single = ViewDataset(photos, ViewSizes(64, 32), seed=1)
    assert not torch.equal(single[0, 3][0], dataset[0, 3][0])
