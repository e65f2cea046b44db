"""On how many CPU threads one call computes, when several threads call encoders at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import threadpoolctl
import torch


def threads_here() -> int:
    """How many CPU threads torch computes on, when this thread asks it to."""
    return torch.get_num_threads()


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """What this thread has torch compute in the block, it computes on `count` CPU threads.

    Other threads keep theirs: `torch.set_num_threads` would change what new ones begin with, so
    OpenMP is told directly, whose number belongs to the calling thread. A torch without OpenMP
    (macOS) keeps its number.
    """
    before = threads_here()  # and torch has set this thread up, which it does once
    _tell(count)
    try:
        yield
    finally:
        _tell(before)


def _tell(count: int) -> None:
    for library in _openmp():
        library.set_num_threads(count)


@cache
def _openmp() -> list[Any]:
    """The OpenMP runtimes of this process; torch and FAISS each bring one."""
    found: list[Any] = (
        threadpoolctl.ThreadpoolController().select(user_api="openmp").lib_controllers
    )
    return found
