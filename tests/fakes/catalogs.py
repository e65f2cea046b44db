"""Made-up images for the catalog: same number, same bytes, same vector."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from likeness.catalog import Catalog
from likeness.catalog.records import (
    Batch,
    BatchItem,
    Collection,
    CommitResult,
    Failed,
    FieldValue,
    SourceFacts,
    Space,
    Stored,
)
from likeness.types import ImageFacts, StoredVectors, Tower

DIM = 8
FACTS = ImageFacts(width=640, height=480, format="jpeg")


def sha256_of(content: int) -> str:
    return hashlib.sha256(f"content {content}".encode()).hexdigest()


def vectors_of(contents: Sequence[int], dim: int = DIM) -> StoredVectors:
    """float16 [n, dim], L2 norm 1."""
    rows = [np.random.default_rng(content).standard_normal(dim) for content in contents]
    wide = np.array(rows).reshape(-1, dim)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16)


def source(
    name: str,
    content: int | None,
    *,
    size: int | None = 1000,
    mtime_ns: int | None = 5,
    fields: Mapping[str, FieldValue] | None = None,
) -> SourceFacts:
    """content: None when the bytes could not be read."""
    sha256 = "" if content is None else sha256_of(content)
    return SourceFacts(f"file:///{name}", f"/{name}", sha256, size, mtime_ns, fields or {})


def failed(name: str, content: int | None, reason_code: str = "corrupt") -> Failed:
    return Failed(source(name, content), reason_code, f"/{name}: it is {reason_code}")


def make_space(catalog: Catalog, collection: Collection, name: str = "one") -> Space:
    return catalog.ensure_space(
        collection.id,
        encoder=f"fake:{name}",
        fingerprint=f"fingerprint of {name}",
        dim=DIM,
        towers=frozenset({Tower.IMAGE}),
    )


def store(
    catalog: Catalog,
    space: Space,
    images: Mapping[str, int],
    facts: ImageFacts | Mapping[str, ImageFacts] = FACTS,
    others: Sequence[BatchItem] = (),
) -> CommitResult:
    """Commit images as name → content, and other items after them, in one batch."""
    items: list[BatchItem] = [
        Stored(source(name, content), facts[name] if isinstance(facts, Mapping) else facts, row)
        for row, (name, content) in enumerate(images.items())
    ]
    vectors = {space.id: vectors_of(list(images.values()))} if images else {}
    return catalog.commit_batch(space.collection_id, Batch([*items, *others], vectors))
