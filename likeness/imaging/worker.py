"""The decode worker: a process that turns bytes into prepared arrays and dies alone.

It is started by `likeness.imaging.pool` with two pipes as its standard input and output. Whatever
an image does to it, only this process is lost.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from likeness.errors import ImageError, ImageTooLarge
from likeness.imaging.decode import DecodeLimits, decode, pillow_quiet
from likeness.imaging.perceptual import perceptual_hash
from likeness.imaging.thumbnails import thumbnail
from likeness.imaging.wire import Channel, WireClosedError, facts_to_json
from likeness.types import RgbImage

Prepare = Callable[[RgbImage], RgbImage]

_PR_SET_PDEATHSIG = 1
_GRACE_S = 2.0
_LEAK_BYTES = 512 << 20
"""A worker that holds this much more after a task than before its first retires."""


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """What every worker of a pool does with each image."""

    limits: DecodeLimits
    prepare: Mapping[str, Prepare]
    min_side: int | None
    perceptual_hash: bool
    thumbnail_side: int | None


def main(parent_pid: int) -> None:
    """Serve the pool until its pipe closes."""
    _die_with(parent_pid)
    channel = Channel(os.dup(0), os.dup(1))
    # From here on nobody else talks on the pipes: C libraries print where they like.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    _, [order_bytes] = channel.receive(max_bytes=64 << 20)
    # The order comes from our own parent, before any image has been seen.
    order: WorkOrder = pickle.loads(bytes(order_bytes))  # noqa: S301
    channel.send({"ready": True})
    os.dup2(nowhere, 2)
    _limit_memory(order.limits.memory_bytes)
    with pillow_quiet(order.limits.max_pixels), contextlib.suppress(WireClosedError):
        _serve(channel, order)


def _serve(channel: Channel, order: WorkOrder) -> None:
    baseline = _resident_bytes()
    while True:
        head, [data] = channel.receive(max_bytes=order.limits.max_bytes)
        # Should the parent be unable to kill this process in time, the kernel does: a C library
        # that hangs holds the interpreter's lock, so no Python code here would run.
        signal.setitimer(signal.ITIMER_REAL, order.limits.timeout_s + _GRACE_S)
        answer, parts = _answer(data, str(head["name"]), order)
        del data
        signal.setitimer(signal.ITIMER_REAL, 0)
        leaving = _resident_bytes() - baseline > _LEAK_BYTES
        channel.send({**answer, "leaving": leaving}, parts)
        if leaving:
            return


def _answer(
    data: bytearray, name: str, order: WorkOrder
) -> tuple[dict[str, Any], list[memoryview | bytes]]:
    try:
        arrays, facts, small = _prepare(data, name, order)
    except ImageError as error:
        return {"error": [error.code, error.reason, error.remedy]}, []
    except MemoryError:
        limit = order.limits.memory_bytes >> 20
        too_large = ImageTooLarge(
            name,
            f"preparing it takes more memory than the limit of {limit} MiB",
            "raise LIKENESS_DECODE_MEMORY to allow it",
        )
        return {"error": [too_large.code, too_large.reason, too_large.remedy]}, []
    except Exception as error:  # noqa: BLE001 — the process's edge: the parent records it
        return {
            "error": ["corrupt", f"preparing it failed: {type(error).__name__}: {error}", ""]
        }, []
    head = {
        "facts": facts_to_json(facts),
        "arrays": [[key, list(array.shape)] for key, array in arrays.items()],
        "thumbnail": small is not None,
    }
    parts: list[memoryview | bytes] = [
        np.ascontiguousarray(array).data.cast("B") for array in arrays.values()
    ]
    return head, parts if small is None else [*parts, small]


def _prepare(data: bytearray, name: str, order: WorkOrder) -> tuple[dict[str, RgbImage], Any, Any]:
    decoded = decode(bytes(data), name, limits=order.limits, min_side=order.min_side)
    facts = decoded.facts
    if order.perceptual_hash:
        digest, quality = perceptual_hash(decoded.pixels)
        facts = replace(facts, perceptual_hash=digest, perceptual_hash_quality=quality)
    arrays = {key: prepare(decoded.pixels) for key, prepare in order.prepare.items()}
    small = (
        None if order.thumbnail_side is None else thumbnail(decoded.pixels, order.thumbnail_side)
    )
    return arrays, facts, small


def _die_with(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent's thread ends, however it ends.

    Linux only; elsewhere the closing pipe ends an idle worker and the timer a busy one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the line above
        os._exit(0)


def _limit_memory(memory_bytes: int) -> None:
    """Let the address space grow by `memory_bytes` from here; then allocations fail."""
    if sys.platform != "linux":
        return
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
        pages = int(statm.read().split()[0])
    limit = pages * resource.getpagesize() + memory_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _resident_bytes() -> int:
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
        return int(statm.read().split()[1]) * resource.getpagesize()
