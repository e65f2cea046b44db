"""Where weights are looked for, and what happens when they are nowhere."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from likeness.encoders import find
from likeness.encoders.weights import find_local, mirror_names, obtain, weights_status
from likeness.errors import WeightsNotFound

TINY = find("timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k")
CLIP = find("open_clip:ViT-B-32/laion2b_s34b_b79k")
DINO = find("timm:vit_small_patch16_224.dino")


@pytest.fixture(autouse=True)
def no_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def put_into_hub_cache(cache: Path, repo: str, filename: str) -> Path:
    folder = cache / f"models--{repo.replace('/', '--')}"
    touch(folder / "refs" / "main").write_text("abc123")
    return touch(folder / "snapshots" / "abc123" / filename)


@pytest.mark.parametrize(
    "name",
    [
        "timm--vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors",
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k.pt",
        "vit_tiny_patch16_224.safetensors",
        "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k/model.safetensors",
    ],
)
def test_a_mirror_holds_weights_under_any_of_the_documented_names(
    tmp_path: Path, name: str
) -> None:
    file = touch(tmp_path / "mirror" / name)
    assert find_local(TINY, tmp_path / "mirror") == file
    assert weights_status(TINY, tmp_path / "mirror").present


def test_slashes_in_names_become_dashes_in_a_mirror(tmp_path: Path) -> None:
    file = touch(tmp_path / "open_clip--ViT-B-32--laion2b_s34b_b79k.bin")
    assert find_local(CLIP, tmp_path) == file


def test_a_file_named_for_an_architecture_with_several_weights_is_not_guessed_at(
    tmp_path: Path,
) -> None:
    touch(tmp_path / "vit_base_patch16_224.safetensors")
    assert find_local(find("timm:vit_base_patch16_224.mae"), tmp_path) is None
    assert find_local(find("timm:vit_base_patch16_224.dino"), tmp_path) is None


def test_the_mirror_comes_before_the_cache(tmp_path: Path) -> None:
    assert CLIP.hub is not None
    cached = put_into_hub_cache(
        tmp_path / "hf" / "hub", CLIP.hub.repo, "open_clip_model.safetensors"
    )
    assert find_local(CLIP, None) == cached
    file = touch(tmp_path / "mirror" / f"{mirror_names(CLIP)[0]}.safetensors")
    assert find_local(CLIP, tmp_path / "mirror") == file


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_the_hub_cache_is_found_where_its_library_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    below = {"HF_HUB_CACHE": ".", "HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}[variable]
    assert TINY.hub is not None
    cached = put_into_hub_cache(tmp_path / "elsewhere" / below, TINY.hub.repo, "pytorch_model.bin")
    found = find_local(TINY, None)
    assert found is not None
    assert found.samefile(cached)


def test_a_mirror_may_be_a_hub_cache_itself(tmp_path: Path) -> None:
    assert TINY.hub is not None
    cached = put_into_hub_cache(tmp_path / "mirror", TINY.hub.repo, "model.safetensors")
    assert find_local(TINY, tmp_path / "mirror") == cached


def test_status_of_absent_weights_says_where_they_would_come_from(tmp_path: Path) -> None:
    status = weights_status(TINY, tmp_path)
    assert not status.present
    assert status.where == "hub:timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.mark.parametrize("by", ["setting", "HF_HUB_OFFLINE"])
def test_offline_nothing_is_asked_and_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1" if by == "HF_HUB_OFFLINE" else "0")
    with pytest.raises(WeightsNotFound) as caught:
        obtain(TINY, TINY.name, tmp_path / "mirror", offline=by == "setting")
    text = str(caught.value)
    assert TINY.name in text
    assert str(tmp_path / "mirror") in text
    assert str(tmp_path / "hf" / "hub") in text
    assert "offline" in text
    for way in ("@/path/to/weights.safetensors", "LIKENESS_WEIGHTS", "HF_HUB_OFFLINE unset"):
        assert way in text


PROGRAM = """
import sys, time
from pathlib import Path
from likeness.encoders import find
from likeness.encoders.weights import obtain
from likeness.errors import WeightsNotFound
record = find("timm:vit_small_patch16_224.dino")
import huggingface_hub  # its own import is not what is timed
started = time.monotonic()
try:
    print("path", obtain(record, record.name, None, offline=False))
except WeightsNotFound as error:
    print("error", round(time.monotonic() - started, 2), str(error).replace(chr(10), " | "))
"""


def obtain_from(endpoint: str, home: Path) -> str:
    """Run `obtain` in a process of its own: huggingface_hub reads its endpoint when imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={
            "PATH": "/usr/bin:/bin", "HF_ENDPOINT": endpoint, "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        },
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_hub_that_refuses_is_given_up_on_at_once(tmp_path: Path) -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
    kind, seconds, text = obtain_from(f"http://127.0.0.1:{port}", tmp_path).split(" ", 2)
    assert kind == "error"
    assert float(seconds) < 3
    assert "cannot be reached" in text


def test_a_hub_that_never_answers_is_given_up_on_within_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kind, seconds, text = obtain_from(
            f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path
        ).split(" ", 2)
    assert kind == "error"
    assert float(seconds) < 10
    assert "DINO" in text or "dino" in text


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download of one file needs."""

    body = b"not really weights"
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        wanted = "/timm/vit_small_patch16_224.dino/resolve/main/pytorch_model.bin"
        if self.path == "/":
            self.send_response(200)
            self.end_headers()
            return
        if self.path != wanted:
            body = json.dumps({"error": "Entry not found"}).encode()
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", "f" * 40)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("ETag", '"0123456789abcdef"')
        self.send_header("X-Repo-Commit", "f" * 40)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        if with_body:
            self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        return


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_weights_from_the_hub_land_in_its_cache_and_are_found_there_again(
    tmp_path: Path, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, _, path = obtain_from(hub, tmp_path / "hf").partition(" ")
    assert kind == "path", path
    assert Path(path).read_bytes() == Hub.body
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    found = find_local(DINO, None)
    assert found is not None
    assert found.samefile(path)


def test_a_hub_without_the_file_is_an_error_that_names_the_repository(
    tmp_path: Path, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", PROGRAM.replace(".dino", ".augreg_in1k"))
    started = time.monotonic()
    kind, _, text = obtain_from(hub, tmp_path / "hf").partition(" ")
    assert kind == "error"
    assert "timm/vit_small_patch16_224.augreg_in1k" in text
    assert time.monotonic() - started < 60
