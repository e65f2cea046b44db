from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from likeness.errors import (
    CorruptImage,
    DecoderCrashed,
    DecoderUnavailable,
    DecodeTimeout,
    ImageTooLarge,
    UnsupportedFormat,
)
from likeness.imaging import pool as pool_module
from likeness.imaging.decode import DecodeLimits, decode
from likeness.imaging.perceptual import perceptual_hash
from likeness.imaging.pool import DecodePool, PreparedImage
from tests.unit.imaging.drawing import encoded, gradient, off_by

# What workers are made to do to themselves. An image's width tells what happens to it.
DEEDS = '''
import ctypes, os, signal, sys, time
import numpy as np

def same(pixels):
    return pixels

def shrink(pixels):
    return np.ascontiguousarray(pixels[:4, :4])

def deed(pixels):
    width = pixels.shape[1]
    if width == 11:
        os.kill(os.getpid(), signal.SIGSEGV)
    if width == 12:
        ctypes.PyDLL(None).sleep(600)  # holds the interpreter's lock, as a C library that hangs
    if width == 13:
        np.ones(4 << 30, dtype=np.uint8)
    if width == 14:
        raise ZeroDivisionError("odd")
    if width == 15:
        os._exit(0)
    if width == 16:
        os.write(4, b"nonsense" * 100)  # where answers go
    if width == 17:
        time.sleep(0.3)
    if width == 18:
        globals()["kept"] = np.ones(600 << 20, dtype=np.uint8)
    return np.array([os.getpid() >> shift & 255 for shift in (0, 8, 16, 24)], dtype=np.uint8)

def modules(pixels):
    return np.frombuffer(" ".join(sorted(sys.modules)).encode(), dtype=np.uint8)

class Once:
    """Kills its worker the first time only."""
    def __init__(self, path):
        self.path = path
    def __call__(self, pixels):
        if not os.path.exists(self.path):
            open(self.path, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return pixels
'''


@pytest.fixture
def deeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module that workers can import as the tests can."""
    (tmp_path / "deeds_for_workers.py").write_text(DEEDS)
    monkeypatch.syspath_prepend(tmp_path)
    import deeds_for_workers  # type: ignore[import-not-found]

    yield deeds_for_workers
    del sys.modules["deeds_for_workers"]


def picture(width: int) -> bytes:
    return encoded(gradient(width, 10), "PNG")


def pid_of(prepared: PreparedImage) -> int:
    return sum(int(byte) << 8 * i for i, byte in enumerate(prepared.arrays["deed"]))


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def wait_until_gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_worker_gives_what_decoding_here_gives(deeds: ModuleType) -> None:
    data = encoded(gradient(900, 600), "JPEG")
    with DecodePool(
        1,
        prepare={"same": deeds.same, "small": deeds.shrink},
        min_side=200,
        perceptual_hash=True,
        thumbnail_side=64,
    ) as pool:
        prepared = pool.submit(data, "photo").result()
    here = decode(data, "photo", min_side=200)
    assert off_by(prepared.arrays["same"], here.pixels) == 0
    assert prepared.arrays["small"].shape == (4, 4, 3)
    assert (prepared.facts.width, prepared.facts.height) == (900, 600)
    digest, quality = perceptual_hash(here.pixels)
    assert prepared.facts.perceptual_hash == digest
    assert prepared.facts.perceptual_hash_quality == quality
    assert prepared.thumbnail is not None
    assert prepared.thumbnail[:4] == b"RIFF"


def test_errors_arrive_with_their_kind_name_reason_and_remedy() -> None:
    with DecodePool(1, limits=DecodeLimits(max_pixels=1000, max_bytes=100_000)) as pool:
        for data, kind in [
            (b"%PDF-1.7", UnsupportedFormat),
            (picture(30)[:60], CorruptImage),
            (picture(300), ImageTooLarge),
            (b"x" * 100_001, ImageTooLarge),
        ]:
            with pytest.raises(kind) as caught:
                pool.submit(data, "odd.png").result()
            assert caught.value.name == "odd.png"
            assert caught.value.reason
        assert pool.submit(picture(30), "fine").result().facts.width == 30


@pytest.mark.parametrize("width", [11, 15, 16])
def test_a_crash_is_blamed_on_its_image_and_the_others_come_through(
    deeds: ModuleType, width: int
) -> None:
    widths = [30, 31, width, 32, 33, 34]
    with DecodePool(2, prepare={"deed": deeds.deed}) as pool:
        futures = [pool.submit(picture(w), f"w{w}") for w in widths]
        for w, future in zip(widths, futures, strict=True):
            if w == width:
                with pytest.raises(DecoderCrashed, match=f"w{width}"):
                    future.result()
            else:
                assert future.result().facts.width == w


def test_a_death_by_signal_is_named(deeds: ModuleType) -> None:
    with DecodePool(1, prepare={"deed": deeds.deed}) as pool:  # noqa: SIM117
        with pytest.raises(DecoderCrashed, match="SIGSEGV"):
            pool.submit(picture(11), "w").result()


def test_an_innocent_image_is_tried_again_when_its_worker_is_killed(
    deeds: ModuleType, tmp_path: Path
) -> None:
    with DecodePool(1, prepare={"once": deeds.Once(str(tmp_path / "flag"))}) as pool:
        assert pool.submit(picture(30), "innocent").result().facts.width == 30


def test_a_hang_that_holds_the_interpreters_lock_ends_at_the_limit(deeds: ModuleType) -> None:
    limits = DecodeLimits(timeout_s=1.0)
    with DecodePool(1, prepare={"deed": deeds.deed}, limits=limits) as pool:
        before = pid_of(pool.submit(picture(30), "warm").result())
        start = time.monotonic()
        with pytest.raises(DecodeTimeout, match="LIKENESS_DECODE_TIMEOUT_S"):
            pool.submit(picture(12), "hang").result()
        assert time.monotonic() - start < 10
        assert wait_until_gone(before)
        assert pool.submit(picture(30), "after").result().facts.width == 30


@pytest.mark.skipif(sys.platform != "linux", reason="address space limits are Linux's")
def test_an_image_that_needs_too_much_memory_is_too_large(deeds: ModuleType) -> None:
    limits = DecodeLimits(memory_bytes=512 << 20)
    with DecodePool(1, prepare={"deed": deeds.deed}, limits=limits) as pool:
        with pytest.raises(ImageTooLarge, match="LIKENESS_DECODE_MEMORY"):
            pool.submit(picture(13), "greedy").result()
        assert pool.submit(picture(30), "after").result().facts.width == 30
    huge = encoded(Image.new("1", (25_000, 25_000)), "TIFF", compression="group4")
    limits = DecodeLimits(max_pixels=10**9, memory_bytes=512 << 20)
    with DecodePool(1, limits=limits) as pool:
        with pytest.raises(ImageTooLarge, match="LIKENESS_DECODE_MEMORY"):
            pool.submit(huge, "huge").result()
        assert pool.submit(picture(30), "after").result().facts.width == 30


def test_a_prepare_function_that_raises_fails_its_image_only(deeds: ModuleType) -> None:
    with DecodePool(1, prepare={"deed": deeds.deed}) as pool:
        with pytest.raises(CorruptImage, match="ZeroDivisionError: odd"):
            pool.submit(picture(14), "odd").result()
        assert pool.submit(picture(30), "after").result().facts.width == 30


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_worker_that_grew_is_replaced_and_its_answer_kept(deeds: ModuleType) -> None:
    with DecodePool(1, prepare={"deed": deeds.deed}) as pool:
        grown = pid_of(pool.submit(picture(18), "grows").result())
        assert pid_of(pool.submit(picture(30), "next").result()) != grown
        assert wait_until_gone(grown)


def test_workers_never_import_torch(deeds: ModuleType) -> None:
    with DecodePool(1, prepare={"m": deeds.modules}, perceptual_hash=True) as pool:
        array = pool.submit(encoded(gradient(), "JPEG"), "x").result().arrays["m"]
    loaded = array.tobytes().decode().split()
    for name in ("torch", "timm", "open_clip", "sqlalchemy", "faiss", "pyarrow"):
        assert name not in loaded
    assert "PIL.EpsImagePlugin" not in loaded


def test_workers_end_with_the_pool(deeds: ModuleType) -> None:
    with DecodePool(2, prepare={"deed": deeds.deed}) as pool:
        futures = [pool.submit(picture(17), str(i)) for i in range(6)]
        pids = {pid_of(future.result()) for future in futures}
        assert len(pids) == 2
    assert all(wait_until_gone(pid) for pid in pids)


def test_leaving_by_an_exception_drops_what_waits(deeds: ModuleType) -> None:
    futures: list[Future[PreparedImage]] = []
    start = time.monotonic()

    def interrupted_run() -> None:
        with DecodePool(1, prepare={"deed": deeds.deed}) as pool:
            pool.submit(picture(30), "warm").result()
            futures.extend(pool.submit(picture(12), str(i)) for i in range(50))
            time.sleep(0.2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_run()
    assert time.monotonic() - start < 15
    for future in futures:
        with pytest.raises((DecoderCrashed, CancelledError)):
            future.result()


def test_a_cancelled_image_is_not_decoded(deeds: ModuleType) -> None:
    with DecodePool(1, prepare={"deed": deeds.deed}) as pool:
        pool.submit(picture(17), "busy")
        waiting = pool.submit(picture(17), "waiting")
        time.sleep(0.05)
        assert waiting.cancel()


def test_a_closed_pool_takes_nothing() -> None:
    pool = DecodePool(1)
    pool.close()
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(b"", "late")


def test_a_machine_that_cannot_start_workers_is_not_the_images_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module.sys, "executable", "/nothing/python")
    with DecodePool(1) as pool, pytest.raises(DecoderUnavailable, match="/nothing/python"):
        pool.submit(picture(30), "x").result()


def test_a_worker_that_cannot_import_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_BOOT", "raise ImportError('no such thing')")
    with DecodePool(1) as pool, pytest.raises(DecoderUnavailable, match="no such thing"):
        pool.submit(picture(30), "x").result()


PARENT = """
import sys, time
sys.path[:0] = [{folder!r}]
import deeds_for_workers as deeds
from likeness.imaging.decode import DecodeLimits
from likeness.imaging.pool import DecodePool
from tests.unit.imaging.test_pool import picture, pid_of
pool = DecodePool(2, prepare={{"deed": deeds.deed}}, limits=DecodeLimits(timeout_s=300))
futures = [pool.submit(picture(17), str(i)) for i in range(6)]
pids = {{pid_of(f.result()) for f in futures}}
print(*pids, flush=True)
pool.submit(picture(12), "hangs")   # one worker hangs holding its lock, one idles
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
def test_workers_die_with_a_parent_that_is_killed(deeds: ModuleType) -> None:
    folder = str(Path(deeds.__file__ or "").parent)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(folder=folder)],
        stdout=subprocess.PIPE,
        cwd=Path(pool_module.__file__).parents[2],
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    time.sleep(0.3)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert all(wait_until_gone(pid) for pid in pids)


def test_many_images_keep_their_answers_apart() -> None:
    with DecodePool(3, thumbnail_side=32) as pool:
        futures = [pool.submit(picture(20 + i % 50), str(i)) for i in range(300)]
        widths = [future.result().facts.width for future in futures]
    assert widths == [20 + i % 50 for i in range(300)]
    assert np.unique(widths).size == 50
