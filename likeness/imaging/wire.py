"""How the pool and its workers talk: frames over a pipe, every wait with a deadline.

A frame is a JSON head (4 bytes of length, then UTF-8) that names its parts, then the parts' bytes.
Nothing that comes from a worker is unpickled: a worker that a hostile image has taken over can send
wrong pixels, not code.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np

from likeness.types import ImageFacts, RgbImage

_LENGTH = struct.Struct("<I")
_MAX_HEAD = 1 << 20

Buffer = bytes | bytearray | memoryview


class WireTimeoutError(Exception):
    """The other side did not answer before the deadline."""


class WireClosedError(Exception):
    """The other side is gone, or talks nonsense."""


def pack_head(head: dict[str, Any], parts: Sequence[Buffer] = ()) -> bytes:
    """The bytes that announce `parts`; send them first."""
    body = json.dumps({**head, "sizes": [len(part) for part in parts]}).encode()
    return _LENGTH.pack(len(body)) + body


class Channel:
    """One end of two pipes. Not thread-safe: each end has one user."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        self._readable = select.poll()
        self._readable.register(read_fd, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(write_fd, select.POLLOUT)
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    def send(
        self,
        head: dict[str, Any],
        parts: Sequence[Buffer] = (),
        *,
        deadline: float | None = None,
    ) -> None:
        """Send one frame. deadline: in `time.monotonic` seconds; None waits for ever."""
        pending = [memoryview(pack_head(head, parts))]
        pending += [memoryview(part).cast("B") for part in parts if len(part)]
        while pending:
            try:
                written = os.writev(self._write_fd, pending[:16])
            except BlockingIOError:
                _wait(self._writable, deadline)
                continue
            except OSError as error:
                raise WireClosedError(str(error)) from error
            while pending and written >= len(pending[0]):
                written -= len(pending.pop(0))
            if written:
                pending[0] = pending[0][written:]

    def receive(
        self,
        *,
        deadline: float | None = None,
        max_bytes: int,
        on_head: Callable[[], None] | None = None,
    ) -> tuple[dict[str, Any], list[bytearray]]:
        """The next frame. Raises WireClosedError when it announces more than `max_bytes`.

        on_head: called once the head has come, before the parts are read.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, deadline))
        if length > _MAX_HEAD:
            raise WireClosedError(f"a head of {length} bytes")
        try:
            head = json.loads(bytes(self._exactly(length, deadline)))
            sizes = [int(size) for size in head.pop("sizes")]
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise WireClosedError(f"a broken head: {error}") from error
        if min(sizes, default=0) < 0 or sum(sizes) > max_bytes:
            raise WireClosedError(f"parts of {sum(sizes)} bytes")
        if on_head is not None:
            on_head()
        return head, [self._exactly(size, deadline) for size in sizes]

    def _exactly(self, size: int, deadline: float | None) -> bytearray:
        buffer = bytearray(size)
        view = memoryview(buffer)
        while view:
            try:
                got = os.readv(self._read_fd, [view])
            except BlockingIOError:
                _wait(self._readable, deadline)
                continue
            except OSError as error:
                raise WireClosedError(str(error)) from error
            if got == 0:
                raise WireClosedError("end of stream")
            view = view[got:]
        return buffer


def facts_to_json(facts: ImageFacts) -> dict[str, Any]:
    """`facts` as JSON values."""
    values = asdict(facts)
    if facts.taken_at is not None:
        values["taken_at"] = facts.taken_at.isoformat()
    if facts.perceptual_hash is not None:
        values["perceptual_hash"] = facts.perceptual_hash.hex()
    return values


def facts_from_json(values: dict[str, Any]) -> ImageFacts:
    """The inverse of `facts_to_json`. Raises ValueError or TypeError on anything else."""
    taken_at, digest = values["taken_at"], values["perceptual_hash"]
    return ImageFacts(
        **{
            **values,
            "taken_at": None if taken_at is None else datetime.fromisoformat(taken_at),
            "perceptual_hash": None if digest is None else bytes.fromhex(digest),
        }
    )


def array_from_part(part: bytearray, shape: Sequence[int]) -> RgbImage:
    """uint8 array of `shape` over `part`, without a copy."""
    return np.frombuffer(part, dtype=np.uint8).reshape(tuple(shape))


def _wait(poll: select.poll, deadline: float | None) -> None:
    if deadline is None:
        poll.poll()
        return
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000 + 1):
        raise WireTimeoutError
