"""What a person did to clusters, replayed after every re-run on the clusters that answer to it.

A choice names clusters by some of their images, not by number: numbers change from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from likeness.types import ImageIds
from likeness.vectors.knn import Vectors
from search.clusters.methods import Labels

ANCHORS = 64
"""Images by which a cluster is recognised: its most typical ones."""

_MAJORITY = 0.5


def rename_choice(anchors: Sequence[int], name: str) -> dict[str, Any]:
    """The cluster of these images is called `name`."""
    return {"kind": "rename", "anchors": [list(anchors)], "name": name}


def merge_choice(anchors: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The clusters of these images are one."""
    return {"kind": "merge", "anchors": [list(each) for each in anchors]}


def split_choice(parts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """These images are of different clusters."""
    return {"kind": "split", "anchors": [list(part) for part in parts]}


def replay(
    image_ids: ImageIds,
    vectors: Vectors,
    labels: Labels,
    choices: Sequence[Mapping[str, Any]],
) -> tuple[Labels, dict[int, str]]:
    """Labels as the choices want them, and the names given: label → name.

    image_ids: int64 [n] ascending. A choice about images that are no longer together by half, or
    gone, finds no cluster and changes nothing.
    """
    labels = labels.copy()
    names: dict[int, str] = {}
    for choice in choices:
        found = [_cluster_of(image_ids, labels, anchors) for anchors in choice["anchors"]]
        if any(label is None for label in found):
            continue
        clusters = [label for label in found if label is not None]
        if choice["kind"] == "rename":
            names[clusters[0]] = choice["name"]
        elif choice["kind"] == "merge":
            for other in clusters[1:]:
                labels[labels == other] = clusters[0]
                if other in names:
                    names.setdefault(clusters[0], names.pop(other))
        elif choice["kind"] == "split" and len(set(clusters)) < len(clusters):
            _split(image_ids, vectors, labels, choice["anchors"], clusters)
    return labels, names


def _cluster_of(image_ids: ImageIds, labels: Labels, anchors: Sequence[int]) -> int | None:
    rows = _rows(image_ids, anchors)
    found = labels[rows]
    found = found[found >= 0]
    if not len(found):
        return None
    values, counts = np.unique(found, return_counts=True)
    best = int(counts.argmax())
    return int(values[best]) if counts[best] >= _MAJORITY * len(rows) else None


def _split(
    image_ids: ImageIds,
    vectors: Vectors,
    labels: Labels,
    parts: Sequence[Sequence[int]],
    clusters: Sequence[int],
) -> None:
    """Members go to the part whose images they are nearest to; the parts' own go to theirs."""
    for cluster in dict.fromkeys(clusters):
        together = [part for part, own in zip(parts, clusters, strict=True) if own == cluster]
        if len(together) < 2:
            continue
        members = np.flatnonzero(labels == cluster)
        middles = []
        for part in together:
            mean = np.asarray(vectors[_rows(image_ids, part)], dtype=np.float32).mean(axis=0)
            middles.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
        nearest = (np.asarray(vectors[members], np.float32) @ np.stack(middles).T).argmax(axis=1)
        targets = [cluster, *range(int(labels.max()) + 1, int(labels.max()) + len(together))]
        labels[members] = np.array(targets, dtype=np.int32)[nearest]
        for part, target in zip(together, targets, strict=True):
            labels[_rows(image_ids, part)] = target


def _rows(image_ids: ImageIds, anchors: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    wanted = np.asarray(anchors, dtype=np.int64)
    at = np.searchsorted(image_ids, wanted).clip(max=max(0, len(image_ids) - 1))
    return at[image_ids[at] == wanted] if len(image_ids) else np.empty(0, dtype=np.int64)
