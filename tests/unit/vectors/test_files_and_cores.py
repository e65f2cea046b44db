"""Files hashed in blocks, and cores that are shared out."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from likeness.errors import SnapshotDamaged
from likeness.vectors.cores import Cores, in_background
from likeness.vectors.files import BLOCK_BYTES, DurableFile, FileFacts, VerifiedFile


@pytest.mark.parametrize(
    "size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5]
)
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_file_is_what_its_blocks_digests_say(
    tmp_path: Path, size: int, *, in_memory: bool
) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    with DurableFile(tmp_path / "f") as file:
        for start in range(0, size, 1_000_003):  # pieces that straddle the blocks
            file.write(data[start : start + 1_000_003])
        facts = file.finish()
    digests = [
        hashlib.sha256(data[at : at + BLOCK_BYTES]).digest() for at in range(0, size, BLOCK_BYTES)
    ]
    assert facts == FileFacts(size, hashlib.sha256(b"".join(digests)).hexdigest())
    assert VerifiedFile(tmp_path / "f", facts, in_memory=in_memory).data.tobytes() == data


@pytest.mark.parametrize("block", [0, 1, 2])
def test_a_flipped_bit_is_found_in_whichever_block_it_is(tmp_path: Path, block: int) -> None:
    data = bytearray(2 * BLOCK_BYTES + 100)
    with DurableFile(tmp_path / "f") as file:
        file.write(bytes(data))
        facts = file.finish()
    data[block * BLOCK_BYTES + 7] ^= 4
    (tmp_path / "f").chmod(0o644)
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(SnapshotDamaged, match="SHA-256"):
        VerifiedFile(tmp_path / "f", facts, in_memory=False)


def test_swapped_blocks_are_found(tmp_path: Path) -> None:
    first, second = b"a" * BLOCK_BYTES, b"b" * BLOCK_BYTES
    with DurableFile(tmp_path / "f") as file:
        file.write(first + second)
        facts = file.finish()
    (tmp_path / "f").chmod(0o644)
    (tmp_path / "f").write_bytes(second + first)
    with pytest.raises(SnapshotDamaged, match="SHA-256"):
        VerifiedFile(tmp_path / "f", facts, in_memory=True)


def test_no_more_cores_are_lent_than_there_are_and_nobody_is_forgotten() -> None:
    cores = Cores(3)
    lock, held, most = threading.Lock(), [0], [0]

    def work() -> None:
        with cores.some(2) as got:
            with lock:
                held[0] += got
                most[0] = max(most[0], held[0])
            time.sleep(0.002)
            with lock:
                held[0] -= got

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert held == [0]
    assert most[0] <= 3


def test_alone_a_search_gets_all_it_asks_for_and_at_least_one() -> None:
    cores = Cores(4)
    with cores.some(4) as all_of_them:
        assert all_of_them == 4
    with cores.some(3) as three, cores.some(4) as rest:
        assert (three, rest) == (3, 1)


def test_work_in_the_background_takes_no_core_from_a_search() -> None:
    cores, got = Cores(4), [0, 0, 0]

    def background() -> None:
        with in_background(), cores.some(4) as half, cores.some(1) as one:
            got[0], got[1] = half, one
            with ThreadPoolExecutor(1) as pool:  # a search beside
                got[2] = pool.submit(lambda: _lent(cores)).result(timeout=30)

    thread = threading.Thread(target=background)
    thread.start()
    thread.join(timeout=60)
    assert got == [2, 1, 4]


def _lent(cores: Cores) -> int:
    with cores.some(4) as all_of_them:
        return all_of_them
