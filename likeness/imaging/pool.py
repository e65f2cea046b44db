"""Decode worker processes: a hostile image costs one process, not the run.

One thread of the parent stands behind each worker: it hands over one image, waits for the answer no
longer than the limit, and replaces a worker that died, hung or grew. So the blame always falls on
the right image, and the queue inside the pool holds only what the caller has submitted.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from likeness.errors import (
    CorruptImage,
    DecoderCrashed,
    DecoderUnavailable,
    DecodeTimeout,
    ImageError,
    ImageTooLarge,
    UnsupportedFormat,
)
from likeness.imaging.decode import DEFAULT_LIMITS, DecodeLimits, check_size
from likeness.imaging.wire import (
    Channel,
    WireClosedError,
    WireTimeoutError,
    array_from_part,
    facts_from_json,
)
from likeness.imaging.worker import Prepare, WorkOrder
from likeness.types import ImageFacts, RgbImage

_START_TIMEOUT_S = 60.0
_PIPE_BYTES = 1 << 20
_MAX_ANSWER_BYTES = 1 << 30
_ERRORS: dict[str, type[ImageError]] = {
    kind.code: kind for kind in (CorruptImage, ImageTooLarge, UnsupportedFormat)
}
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from likeness.imaging.worker import main; main(int(sys.argv[2]))"
)


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What a worker made of one image.

    arrays: one uint8 array per prepare function, by its key. thumbnail: WebP bytes, or None when
    none was asked for.
    """

    arrays: dict[str, RgbImage]
    facts: ImageFacts
    thumbnail: bytes | None


@dataclass(slots=True)
class _Task:
    data: bytes
    name: str
    future: Future[PreparedImage]


class DecodePool:
    """A fixed number of decode workers, started when first needed. Thread-safe.

    The caller bounds how much it submits. Leaving the context waits for what was submitted; leaving
    it by an exception drops it.
    """

    def __init__(
        self,
        workers: int,
        *,
        limits: DecodeLimits = DEFAULT_LIMITS,
        prepare: Mapping[str, Prepare] | None = None,
        min_side: int | None = None,
        perceptual_hash: bool = False,
        thumbnail_side: int | None = None,
    ) -> None:
        """prepare: picklable functions from uint8 [h, w, 3] to a uint8 array, each under its key.

        min_side: see `decode`. thumbnail_side: longer side in pixels, None for no thumbnail.
        """
        if workers < 1:
            raise ValueError(f"a pool needs at least one worker, got {workers}")
        self._limits = limits
        self._order = pickle.dumps(
            WorkOrder(limits, dict(prepare or {}), min_side, perceptual_hash, thumbnail_side)
        )
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._dropping = False
        self._workers = [_Worker(self._order, limits) for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._tend, args=(worker,), name=f"decode-{i}", daemon=True)
            for i, worker in enumerate(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, data: bytes, name: str) -> Future[PreparedImage]:
        """Queue one image. The future raises an ImageError, or DecoderUnavailable when no worker
        can be started at all.
        """
        future: Future[PreparedImage] = Future()
        try:
            check_size(len(data), name, self._limits)
        except ImageTooLarge as error:
            future.set_exception(error)
            return future
        with self._lock:
            if self._closed:
                raise RuntimeError("the decode pool is closed")
            self._tasks.put(_Task(data, name, future))
        return future

    def close(self, *, drop: bool = False) -> None:
        """Finish what was submitted, or cancel it when `drop`; then end the workers."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._tasks.put(None)
            self._dropping = self._dropping or drop
        if drop:
            for worker in self._workers:
                worker.kill()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(drop=kind is not None)

    def _tend(self, worker: _Worker) -> None:
        try:
            while (task := self._tasks.get()) is not None:
                if self._dropping:
                    task.future.cancel()
                    continue
                if not task.future.set_running_or_notify_cancel():
                    continue
                try:
                    prepared = self._run(worker, task)
                except Exception as error:  # noqa: BLE001 — the per-image loop: the future tells
                    task.future.set_exception(error)
                else:
                    task.future.set_result(prepared)
                del task
        finally:
            worker.stop()

    def _run(self, worker: _Worker, task: _Task) -> PreparedImage:
        try:
            return worker.run(task.data, task.name)
        except DecoderCrashed:
            if self._dropping:
                raise
            # Somebody else may have killed it (a system short of memory): ask a fresh one.
            return worker.run(task.data, task.name)


class _Worker:
    """One worker process at a time, replaced whenever it is lost. Used by one thread."""

    def __init__(self, order: bytes, limits: DecodeLimits) -> None:
        self._order, self._limits = order, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None

    def run(self, data: bytes, name: str) -> PreparedImage:
        channel = self._channel or self._start()
        deadline = time.monotonic() + self._limits.timeout_s
        try:
            channel.send({"name": name}, [data], deadline=deadline)
            head, parts = channel.receive(deadline=deadline, max_bytes=_MAX_ANSWER_BYTES)
        except WireTimeoutError:
            self._end()
            raise DecodeTimeout(
                name,
                f"decoding it took longer than the limit of {self._limits.timeout_s:g} s",
                "raise LIKENESS_DECODE_TIMEOUT_S to allow it",
            ) from None
        except WireClosedError as error:
            raise DecoderCrashed(name, f"the decoder died on it ({self._end()})") from error
        if head.get("leaving"):
            self._end()
        return self._unpack(head, parts, name)

    def kill(self) -> None:
        """End the process from another thread; the one that waits for it notices."""
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def stop(self) -> None:
        self._end()

    def _unpack(self, head: dict[str, Any], parts: list[bytearray], name: str) -> PreparedImage:
        try:
            if "error" in head:
                code, reason, remedy = head["error"]
                raise _ERRORS[code](name, reason, remedy)
            small = bytes(parts.pop()) if head["thumbnail"] else None
            arrays = {
                str(key): array_from_part(part, shape)
                for (key, shape), part in zip(head["arrays"], parts, strict=True)
            }
            return PreparedImage(arrays, facts_from_json(head["facts"]), small)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            self._end()
            raise DecoderCrashed(name, f"the decoder's answer makes no sense ({error})") from error

    def _start(self) -> Channel:
        environment = {**os.environ, **dict.fromkeys(_SINGLE_THREADED, "1")}
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _BOOT,
                    json.dumps([p for p in sys.path if isinstance(p, str)]),
                    str(os.getpid()),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                process_group=0,  # Ctrl-C in the terminal is for the parent, which then ends these
            )
        except OSError as error:
            raise DecoderUnavailable(str(error)) from error
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        for stream in (process.stdin, process.stdout):
            _widen(stream.fileno())
        channel = Channel(process.stdout.fileno(), process.stdin.fileno())
        deadline = time.monotonic() + _START_TIMEOUT_S
        try:
            channel.send({}, [self._order], deadline=deadline)
            channel.receive(deadline=deadline, max_bytes=0)
        except (WireClosedError, WireTimeoutError) as error:
            said = _last_words(process)
            raise DecoderUnavailable(f"{self._end()}; {said}") from error
        self._channel = channel
        return channel

    def _end(self) -> str:
        """End the process, if there is one; returns how it ended."""
        process, self._process, self._channel = self._process, None, None
        if process is None:
            return "already ended"
        # A worker that closed its pipe is about to report how it died: let it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            if process.stdin is not None:
                process.stdin.close()
            process.wait(0.2)
        if process.poll() is None:
            process.kill()
        code = process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        if code < 0:
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name
        return f"exit status {code}"


_SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def _widen(fd: int) -> None:
    """A pipe that takes a whole image at once saves switching to and fro (Linux)."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _last_words(process: subprocess.Popen[bytes]) -> str:
    process.kill()
    process.wait()
    assert process.stderr is not None
    lines = process.stderr.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
