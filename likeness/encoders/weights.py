"""Where weights are: a file, a mirror directory, the libraries' caches, the hub.

Free of torch and, until something has to be downloaded, of huggingface_hub.
"""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from likeness.encoders.records import EncoderRecord, HubFile
from likeness.encoders.registry import is_sole
from likeness.errors import WeightsNotFound

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
_PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class WeightsStatus:
    """present: on this machine, no network needed. where: the file, or where it would come from."""

    present: bool
    where: str


def weights_status(record: EncoderRecord, weights_dir: Path | None) -> WeightsStatus:
    """Whether an encoder's weights are on this machine, without torch and without network."""
    found = find_local(record, weights_dir)
    if found is not None:
        return WeightsStatus(True, str(found))
    if record.hub is not None:
        return WeightsStatus(False, f"hub:{record.hub.repo}")
    return WeightsStatus(False, record.url or "nowhere")


def mirror_names(record: EncoderRecord) -> tuple[str, ...]:
    """File names, without suffix, that a mirror directory may hold an encoder's weights under.

    For `open_clip:ViT-B-32/openai`: `open_clip--ViT-B-32--openai`, then `ViT-B-32--openai`; for
    the one row of the table with its architecture also the bare architecture, `ViT-B-32`.
    """
    model = record.name.partition(":")[2]
    names = [f"{record.library}--{model.replace('/', '--')}", model.replace("/", "--")]
    if is_sole(record):
        names.append(record.architecture)
    return tuple(dict.fromkeys(names))


def find_local(record: EncoderRecord, weights_dir: Path | None) -> Path | None:
    """The file of an encoder's weights in the mirror or a cache, or None; of the encoder that
    ships with the product, the file beside this module."""
    if record.library == "likeness":
        shipped = Path(__file__).parent / "tiny" / "tiny.safetensors"
        return shipped if shipped.is_file() else None
    candidates = _mirror_candidates(record, weights_dir) if weights_dir else iter(())
    for path in candidates:
        if path.is_file():
            return path
    if record.hub is not None:
        cached = cached_hub_file(record.hub, hub_cache())
        if cached is not None:
            return cached
    if record.url is not None:
        for folder in _url_caches(record):
            path = folder / record.url.rpartition("/")[2]
            if path.is_file():
                return path
    return None


def obtain(record: EncoderRecord, name: str, weights_dir: Path | None, *, offline: bool) -> Path:
    """The file of an encoder's weights, downloaded into its library's cache if need be.

    Raises WeightsNotFound, within seconds when the hub is out of reach.
    """
    found = find_local(record, weights_dir)
    if found is not None:
        return found
    looked = [
        f"the mirror {weights_dir}: no {' or '.join(mirror_names(record))} ({', '.join(SUFFIXES)})"
        if weights_dir
        else "a mirror: LIKENESS_WEIGHTS is not set"
    ]
    if record.hub is not None:
        looked.append(f"the cache {hub_cache()}: no {record.hub.repo}")
    if record.url is not None:
        looked += [f"the cache {folder}" for folder in _url_caches(record)]
    wanted = record.hub.repo if record.hub else record.url or "no published weights"
    try:
        if record.hub is not None:
            return download_hub_file(record.hub, offline=offline)
        if record.url is not None:
            return _download_url(record, record.url, offline=offline)
    except DownloadError as failure:
        raise WeightsNotFound(name, wanted, [*looked, str(failure)]) from failure
    raise WeightsNotFound(name, wanted, [*looked, "the hub: its library names no source"])


class DownloadError(Exception):
    """Why the hub gave nothing, as one line."""


def hub_cache() -> Path:
    """The Hugging Face cache, found as huggingface_hub finds it."""
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "huggingface" / "hub"


def cached_hub_file(hub: HubFile, cache: Path) -> Path | None:
    """A hub file in a cache of huggingface_hub's layout, at its `main` revision, or None."""
    folder = cache / f"models--{hub.repo.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text().strip()
    except OSError:
        return None
    for filename in hub.filenames:
        path = folder / "snapshots" / revision / filename
        if path.is_file():
            return path
    return None


def download_hub_file(hub: HubFile, *, offline: bool) -> Path:
    """Fetch a file of the hub into its cache; the first of its names that exists.

    Raises DownloadError, within seconds when the hub is out of reach.
    """
    if offline or _hub_switched_off():
        raise DownloadError("the hub: not asked, offline mode is on (HF_HUB_OFFLINE)")
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    place = f"the hub {constants.ENDPOINT}/{hub.repo}"
    # huggingface_hub retries an unreachable hub with growing pauses; ask first, once.
    problem = _unreachable(constants.ENDPOINT)
    if problem:
        raise DownloadError(f"{place}: {problem}")
    for filename in hub.filenames:
        try:
            return Path(hf_hub_download(hub.repo, filename))
        except LocalEntryNotFoundError as error:
            raise DownloadError(f"{place}: {_reason(error)}") from error
        except EntryNotFoundError:
            continue
        except Exception as error:  # its HTTP library's own errors come through, whichever it is
            raise DownloadError(f"{place}: {_reason(error)}") from error
    raise DownloadError(f"{place}: has none of {', '.join(hub.filenames)}")


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _mirror_candidates(record: EncoderRecord, weights_dir: Path) -> Iterator[Path]:
    for name in mirror_names(record):
        for suffix in SUFFIXES:
            yield weights_dir / f"{name}{suffix}"
    if record.hub is not None:
        for filename in record.hub.filenames:
            yield weights_dir / record.hub.repo / filename
        cached = cached_hub_file(record.hub, weights_dir)
        if cached is not None:
            yield cached


def _url_caches(record: EncoderRecord) -> tuple[Path, ...]:
    """Where the libraries keep what they download from plain URLs."""
    if record.library == "open_clip":
        return (Path("~/.cache/clip").expanduser(),)
    torch_home = os.environ.get("TORCH_HOME") or (
        f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/torch"
    )
    return (Path(torch_home).expanduser() / "hub" / "checkpoints",)


def _download_url(record: EncoderRecord, url: str, *, offline: bool) -> Path:
    if offline or _hub_switched_off():
        raise DownloadError(f"{url}: not asked, offline mode is on (HF_HUB_OFFLINE)")
    problem = _unreachable(url)
    if problem:
        raise DownloadError(f"{url}: {problem}")
    folder = _url_caches(record)[0]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / url.rpartition("/")[2]
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with urllib.request.urlopen(url, timeout=30) as source, partial.open("wb") as sink:  # noqa: S310
            while block := source.read(1 << 20):
                sink.write(block)
        partial.replace(target)
    except OSError as error:
        raise DownloadError(f"{url}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _hub_switched_off() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def _unreachable(url: str) -> str | None:
    """Why a host does not answer, or None when it does, within a few seconds whatever happens.

    In a thread of its own: looking a name up can block for longer than any socket timeout.
    """
    answer: list[str | None] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310
        try:
            urllib.request.urlopen(request, timeout=_PROBE_TIMEOUT_S).close()  # noqa: S310
        except urllib.error.HTTPError:
            answer.append(None)  # it answered; what it thinks of HEAD does not matter
        except (OSError, ValueError) as error:
            answer.append(f"cannot be reached ({getattr(error, 'reason', error)})")
        else:
            answer.append(None)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_TIMEOUT_S + 1)
    return answer[0] if answer else f"no answer within {_PROBE_TIMEOUT_S + 1:.0f} s"
