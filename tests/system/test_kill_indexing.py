"""Killing an indexing run at any moment loses nothing and stores nothing twice."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from likeness.catalog import Catalog
from likeness.settings import load_settings
from tests.fakes.pictures import draw_picture, write_pictures

_ROOT = Path(__file__).resolve().parents[2]
_KILLS = 30
_SEED = 20_261_124

Row = tuple[object, ...]


def _command(home: Path, source: Path, seconds_per_batch: float, url: str) -> list[str]:
    module = "tests.system.indexing_run"
    return [sys.executable, "-m", module, str(home), str(source), str(seconds_per_batch), url]


def _run_whole(home: Path, source: Path, url: str) -> None:
    subprocess.run(_command(home, source, 0.0, url), cwd=_ROOT, check=True, timeout=300)


def _run_and_kill(home: Path, source: Path, url: str, *, after_s: float) -> bool:
    """Start a slow run and SIGKILL it that long after its start; False when it ended before."""
    command = _command(home, source, 0.05, url)
    with subprocess.Popen(
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(after_s)
        killed = process.poll() is None
        process.send_signal(signal.SIGKILL)
    return killed


def _content(home: Path, url: str) -> tuple[list[Row], int]:
    """Every row by its URI with its vector, and how many vectors are stored in all."""
    settings = load_settings(home=home, database_url=url or None)
    with Catalog.open(settings.catalog_url) as catalog:
        collection = catalog.collection("default")
        (space,) = catalog.spaces(collection.id)
        rows = catalog.list_images(collection.id, limit=100_000)
        ids, vectors = catalog.vectors(space.id, [row.id for row in rows])
        vector_of = {int(i): v.tobytes() for i, v in zip(ids, vectors, strict=True)}
        streamed = [int(i) for page, _ in catalog.stream_vectors(space.id) for i in page]
        assert sorted(streamed) == sorted(vector_of)
        content: list[Row] = [
            (
                row.uri,
                row.sha256,
                row.size,
                row.mtime_ns,
                row.state,
                row.reason_code,
                row.facts,
                sorted(row.fields.items()),
                vector_of.get(row.id),
            )
            for row in rows
        ]
    return sorted(content, key=lambda row: str(row[0])), len(streamed)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """400 pictures, 40 of them the same bytes as another, 20 broken."""
    folder = tmp_path / "photos"
    paths = write_pictures(folder, 340)
    for number, path in enumerate(paths[::8][:40]):
        shutil.copy(path, folder / f"copy{number}{path.suffix}")
    for number, path in enumerate(paths[3::16][:20]):
        data = path.read_bytes()
        (folder / f"broken{number}{path.suffix}").write_bytes(data[: len(data) // 2])
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
def database_url(request: pytest.FixtureRequest) -> str:
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_killed_at_thirty_random_moments_ends_as_an_undisturbed_one(
    tmp_path: Path, photos: Path, database_url: str
) -> None:
    _run_whole(tmp_path / "undisturbed", photos, "")
    expected, expected_vectors = _content(tmp_path / "undisturbed", "")
    assert len(expected) == 400

    chance = random.Random(_SEED)
    home = tmp_path / "killed"
    kills = round_ = 0
    while kills < _KILLS:
        if _run_and_kill(home, photos, database_url, after_s=chance.uniform(0.0, 1.5)):
            kills += 1
        else:
            # It came to its end: new work for the kills that are left, for both homes.
            round_ += 1
            draw_picture(1000 + round_).save(photos / f"late{round_}.png")
            for late in range(120):
                seed = 2000 + 200 * round_ + late
                draw_picture(seed).save(photos / f"late{round_}-{late}.png")
            _run_whole(tmp_path / "undisturbed", photos, "")
            expected, expected_vectors = _content(tmp_path / "undisturbed", "")
    _run_whole(home, photos, database_url)

    content, vectors = _content(home, database_url)
    assert content == expected
    assert vectors == expected_vectors
