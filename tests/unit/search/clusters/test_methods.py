"""Each method finds what is there, repeatably; events break where people would break them."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from search.clusters.describe import hierarchy, joined, outliers, shape_of
from search.clusters.events import Moment, by_events, distance_km
from search.clusters.methods import Size, by_hdbscan, by_kmeans, by_leiden, compact
from search.clusters.naming import names_by_folders, names_by_words
from search.clusters.vocabulary import WORDS
from search.graph.build import build_graph


def blobs(sizes: list[int], d: int = 24, spread: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    centres = random.standard_normal((len(sizes), d))
    rows = centres[truth] + spread * random.standard_normal((len(truth), d))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float16), truth


def agree(labels: np.ndarray, truth: np.ndarray) -> bool:
    """Whether every cluster is pure and every class is in one cluster, noise aside."""
    inside = labels >= 0
    pairs = set(zip(labels[inside].tolist(), truth[inside].tolist(), strict=True))
    return len(pairs) == len(set(truth.tolist())) == len({label for label, _ in pairs})


def test_every_method_finds_clear_clusters_and_repeats_itself() -> None:
    vectors, truth = blobs([60, 50, 40, 30])
    graph = build_graph(np.arange(180), vectors, fingerprint="f", revision=0)
    for find in (
        lambda: by_kmeans(vectors, Size.MEDIUM, k=4),
        lambda: by_leiden(graph, Size.LARGE),
        lambda: by_hdbscan(vectors, Size.MEDIUM),
    ):
        labels = find()
        assert agree(labels, truth)
        assert np.array_equal(labels, find())
        assert np.bincount(labels[labels >= 0]).tolist() == sorted(
            np.bincount(labels[labels >= 0]).tolist(), reverse=True
        )


def test_smaller_sizes_make_more_clusters() -> None:
    vectors, _ = blobs([80] * 5, spread=0.9)
    counts = [int(by_kmeans(vectors, size).max()) for size in (Size.LARGE, Size.MEDIUM, Size.SMALL)]
    assert counts == sorted(set(counts))


def test_nothing_and_almost_nothing_can_be_clustered() -> None:
    none = np.empty((0, 8), np.float16)
    assert len(by_kmeans(none, Size.SMALL)) == 0
    one, _ = blobs([1])
    assert by_kmeans(one, Size.SMALL).tolist() == [0]
    assert by_hdbscan(one, Size.SMALL).tolist() == [0]


def test_compact_numbers_by_size_and_keeps_none() -> None:
    labels = np.array([7, 3, 3, -1, 7, 3, 9], np.int32)
    assert compact(labels).tolist() == [1, 0, 0, -1, 1, 0, 2]


def test_events_break_at_long_pauses_and_far_places() -> None:
    start = datetime(2020, 7, 1, 9)
    home, away = (52.5, 13.4), (48.1, 11.6)
    moments = [Moment(start + timedelta(minutes=3 * n), *home) for n in range(20)]
    moments += [Moment(start + timedelta(days=2, minutes=5 * n), *home) for n in range(10)]
    moments += [Moment(start + timedelta(days=2, hours=2, minutes=n), *away) for n in range(8)]
    moments += [Moment(None)]
    labels = by_events(moments, Size.MEDIUM)
    assert labels[-1] == -1
    assert labels[:20].tolist() == [0] * 20
    assert labels[20:30].tolist() == [1] * 10
    assert labels[30:38].tolist() == [2] * 8
    assert by_events([Moment(None)], Size.SMALL).tolist() == [-1]


def test_large_events_hold_what_small_ones_separate() -> None:
    start = datetime(2020, 7, 1, 9)
    days = [
        Moment(start + timedelta(days=day, hours=hour))
        for day in range(5)
        for hour in range(0, 12, 3)
    ]
    assert by_events(days, Size.LARGE).max() == 0
    assert by_events(days, Size.SMALL).max() >= 4


def test_distance_is_that_of_the_sphere() -> None:
    assert distance_km(52.52, 13.405, 48.137, 11.575) == pytest.approx(504, abs=3)


def test_covers_are_members_nearest_to_the_middle_and_strangers_join_none() -> None:
    vectors, truth = blobs([30, 20])
    labels = compact(truth.astype(np.int32))
    shape = shape_of(vectors, labels)
    for cluster in range(2):
        members = np.flatnonzero(labels == cluster)
        cosine = vectors[members].astype(np.float32) @ shape.centroids[cluster]
        assert shape.covers[cluster] == members[cosine.argmax()]
        assert shape.coherence[cluster] == pytest.approx(cosine.mean(), abs=1e-3)
    stranger = -shape.centroids[:1]
    where, typicality = joined(
        np.concatenate([vectors[:3].astype(np.float32), stranger]),
        shape.centroids,
        shape.edges - 0.1,
    )
    assert where.tolist() == [0, 0, 0, -1]
    assert typicality[3] == 0


def test_the_odd_one_out_comes_first() -> None:
    vectors, _ = blobs([40, 40])
    odd = np.zeros((1, 24), np.float16)
    odd[0, 5] = 1
    everything = np.concatenate([vectors, odd])
    graph = build_graph(np.arange(81) + 100, everything, fingerprint="f", revision=0)
    assert outliers(graph, 3)[0][0] == 180


def test_coarser_levels_join_finer_groups() -> None:
    vectors, _ = blobs([1] * 12)
    levels = hierarchy(vectors.astype(np.float32), np.ones(12, np.int64), [2, 5, 12])
    for fine, coarse in ((12, 5), (5, 2)):
        pairs = set(zip(levels[fine].tolist(), levels[coarse].tolist(), strict=True))
        assert len(pairs) == len(set(levels[fine].tolist()))
    assert len(set(levels[5].tolist())) == 5


def test_names_tell_clusters_apart_not_what_they_share() -> None:
    # Three words; everything is a bit of word 0, clusters differ in words 1 and 2.
    words = np.eye(3, dtype=np.float32)
    first = np.array([[0.8, 0.6, 0.0]] * 4, np.float32)
    second = np.array([[0.8, 0.0, 0.6]] * 4, np.float32)
    names = names_by_words([first, second], ["photo", "dog", "cat"], words, count=1)
    assert names == ["dog", "cat"]


def test_no_two_clusters_have_the_same_name() -> None:
    words = np.eye(2, dtype=np.float32)
    same = np.array([[1.0, 0.0]], np.float32)
    names = names_by_words([same, same, same], ["dog", "cat"], words, count=1)
    assert len(set(names)) == 3


def test_folders_name_clusters_when_words_cannot() -> None:
    names = names_by_folders(
        [["/p/2019/Rome/a.jpg", "/p/2019/Rome/b.jpg"], ["/p/2019/Oslo/c.jpg"], ["/p/2019/d.jpg"]]
    )
    assert names[:2] == ["Rome", "Oslo"]
    assert len(set(names)) == 3


def test_the_vocabulary_names_each_word_once() -> None:
    assert len(WORDS) == len(set(WORDS)) > 400
    assert all(word == word.strip() and word for word in WORDS)
