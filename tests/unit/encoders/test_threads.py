"""Threads of one call, set for the thread that calls."""

from __future__ import annotations

import threading

import pytest
import torch

from likeness.encoders.threads import on_threads, threads_here

pytestmark = pytest.mark.skipif(
    "OpenMP" not in torch.__config__.parallel_info(), reason="this torch does not use OpenMP"
)


def test_a_block_has_its_threads_and_gives_them_back() -> None:
    before = threads_here()
    with on_threads(before + 1):
        assert threads_here() == before + 1
        with on_threads(1):
            assert threads_here() == 1
        assert threads_here() == before + 1
    assert threads_here() == before


def test_threads_are_given_back_after_an_error() -> None:
    before = threads_here()
    with pytest.raises(ValueError, match="no"), on_threads(before + 1):
        raise ValueError("no")
    assert threads_here() == before


def test_other_threads_keep_theirs() -> None:
    before, found = threads_here(), []
    with on_threads(before + 1):
        other = threading.Thread(target=lambda: found.append(threads_here()))
        other.start()
        other.join()
    assert found == [before]


def test_what_is_computed_does_not_depend_on_it() -> None:
    left = torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    expected = left @ left.T
    for count in (1, 2, 3):
        with on_threads(count):
            torch.testing.assert_close(left @ left.T, expected)
