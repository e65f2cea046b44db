"""What a process did so far, as plain numbers: seconds and images by stage, images by outcome.

Counters only grow. They are this process's own; whoever serves several adds them up.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from likeness.telemetry import pulse, tracing

T = TypeVar("T")


@dataclass(slots=True)
class Totals:
    """stage_seconds, stage_images: by stage. outcomes: images by what became of them. failures:
    images by reason code. gpu: bytes by device and kind (used, total, ours)."""

    stage_seconds: dict[str, float] = field(default_factory=dict)
    stage_images: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    gpu: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def took(self, stage: str, seconds: float, images: int = 0) -> None:
        """A stage worked so long, on so many images: a sign of life too."""
        pulse.beat()
        with self._lock:
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds
            self.stage_images[stage] = self.stage_images.get(stage, 0) + images

    def became(self, outcomes: Mapping[str, int], failures: Mapping[str, int]) -> None:
        """Images were settled: so many by outcome, so many failures by reason."""
        with self._lock:
            for kept, more in ((self.outcomes, outcomes), (self.failures, failures)):
                for name, count in more.items():
                    if count:
                        kept[name] = kept.get(name, 0) + count

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """JSON values; the GPU's memory as of now."""
        with self._lock:
            found = {name: dict(getattr(self, name)) for name in _NAMES}
        found["gpu"] = gpu_memory()
        return found

    @classmethod
    def added(cls, documents: Iterable[Mapping[str, Mapping[str, Any]]]) -> Totals:
        """The sum of several processes' `as_dict`. Of the GPU, `ours` is added; the rest is of the
        device, and the same for all."""
        total = cls()
        for document in documents:
            for name in _NAMES:
                mine: dict[str, Any] = getattr(total, name)
                for key, value in document.get(name, {}).items():
                    shared = name == "gpu" and not key.endswith(" ours")
                    mine[key] = value if shared else mine.get(key, 0) + value
        return total


_NAMES = ("stage_seconds", "stage_images", "outcomes", "failures", "gpu")

TOTALS = Totals()
"""Of this process."""


@contextmanager
def stage(name: str, *, images: int = 0, **attributes: object) -> Iterator[None]:
    """The block is work of a stage: counted, and a span where traces are on."""
    began, clock = time.perf_counter(), time.time_ns()
    try:
        yield
    finally:
        TOTALS.took(name, time.perf_counter() - began, images)
        tracing.record(name, clock, time.time_ns(), images=images, **attributes)


def timed(items: Iterable[T], name: str) -> Iterator[T]:
    """The same items; the time that it takes to come by them is a stage's, one span for all."""
    clock, seconds, count = time.time_ns(), 0.0, 0
    source = iter(items)
    try:
        while True:
            began = time.perf_counter()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                spent = time.perf_counter() - began
                seconds += spent
                TOTALS.took(name, spent)
            TOTALS.took(name, 0.0, 1)
            count += 1
            yield item
    finally:
        tracing.record(name, clock, time.time_ns(), images=count, busy_s=round(seconds, 3))


def gpu_memory() -> dict[str, int]:
    """Bytes by `DEVICE KIND`; empty where this process does not compute on a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    found: dict[str, int] = {}
    for device in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(device)
        found[f"cuda:{device} used"] = total - free
        found[f"cuda:{device} total"] = total
        found[f"cuda:{device} ours"] = torch.cuda.memory_reserved(device)
    return found
