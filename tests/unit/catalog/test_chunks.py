"""Chunks: read back as written, or refused."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from likeness.catalog.chunks import (
    MAX_CHUNK_VECTORS,
    ChunkUnreadableError,
    check_vectors,
    decode_chunk,
    encode_chunk,
    split,
)
from likeness.errors import VectorError
from tests.fakes.catalogs import vectors_of


@given(n=st.integers(1, 40), dim=st.integers(2, 70))
def test_a_chunk_reads_back_as_it_was_written(n: int, dim: int) -> None:
    vectors = vectors_of(range(n), dim)
    blob, checksum = encode_chunk(vectors)
    assert np.array_equal(decode_chunk(blob, dim=dim), vectors)
    assert checksum in blob
    assert encode_chunk(vectors) == (blob, checksum)


def test_every_flipped_bit_cut_and_zeroed_block_is_noticed() -> None:
    blob, _ = encode_chunk(vectors_of(range(20), 16))
    chance = random.Random(3)
    for _ in range(1000):
        data = bytearray(blob)
        match chance.randrange(4):
            case 0:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            case 1:
                del data[chance.randrange(len(data)) :]
            case 2:
                start = chance.randrange(len(data) - 64)
                data[start : start + 64] = bytes(64)
            case _:
                data += chance.randbytes(chance.randrange(1, 9))
        if bytes(data) != blob:
            with pytest.raises(ChunkUnreadableError):
                decode_chunk(bytes(data), dim=16)


def test_a_chunk_of_another_dimension_is_refused() -> None:
    blob, _ = encode_chunk(vectors_of(range(3), 8))
    with pytest.raises(ChunkUnreadableError, match="vectors of 8 numbers, its space has 16"):
        decode_chunk(blob, dim=16)


def test_unit_vectors_of_any_float_type_are_accepted() -> None:
    wide = vectors_of(range(5), 8).astype(np.float64)
    checked = check_vectors(wide, 8, space="x")
    assert checked.dtype == np.float16
    assert check_vectors(np.empty((0, 8), np.float16), 8, space="x").shape == (0, 8)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 60_000.0])
def test_one_unusable_vector_is_named(value: float) -> None:
    vectors = vectors_of(range(5), 8)
    vectors[3] = value
    with pytest.raises(VectorError, match="vector 3 for space x has norm"):
        check_vectors(vectors, 8, space="space x")


def test_many_vectors_are_split_into_chunks_of_bounded_size() -> None:
    spans = list(split(2 * MAX_CHUNK_VECTORS + 1))
    assert [stop - start for start, stop in spans] == [MAX_CHUNK_VECTORS, MAX_CHUNK_VECTORS, 1]
    assert list(split(0)) == []
