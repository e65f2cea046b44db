"""Words to token ids, as OpenCLIP's models read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import get_clean_fn
from tokenizers import Tokenizer
from torch import Tensor

from likeness.encoders.interface import LoadRequest
from likeness.encoders.records import EncoderRecord, HubFile
from likeness.encoders.weights import (
    DownloadError,
    cached_hub_file,
    download_hub_file,
    hub_cache,
    mirror_names,
)
from likeness.errors import InputError, WeightsNotFound

WordsToIds = Callable[[Sequence[str]], Tensor]
"""n texts → int64 [n, context length]; longer texts are cut."""

_TOKENIZER, _CONFIG = "tokenizer.json", "tokenizer_config.json"


def words_to_ids(record: EncoderRecord, request: LoadRequest) -> WordsToIds:
    """The tokenizer of an OpenCLIP model.

    CLIP's own comes with the library; SigLIP's and others' are two files of the hub
    (`tokenizer.json`, `tokenizer_config.json`), looked for beside `@path`, in the mirror and in
    the hub's cache first. Raises WeightsNotFound when they are nowhere.
    """
    text = open_clip.get_model_config(record.architecture)["text_cfg"]
    repo = text.get("hf_tokenizer_name")
    if repo is None:
        simple = open_clip.get_tokenizer(record.architecture)
        return lambda texts: simple(list(texts))
    options = dict(text.get("tokenizer_kwargs", {}))
    clean = get_clean_fn(options.pop("clean", "whitespace"))
    if options:
        raise InputError(
            f"{record.name} reads words in a way that is not supported ({', '.join(options)}); "
            "its image tower works, for words use another encoder"
        )
    tokenizer = _padded_tokenizer(
        _obtain(record, request, repo, _TOKENIZER),
        _obtain(record, request, repo, _CONFIG),
        int(text.get("context_length", 77)),
    )

    def encode(texts: Sequence[str]) -> Tensor:
        rows = tokenizer.encode_batch([clean(text) for text in texts])
        return torch.tensor([row.ids for row in rows], dtype=torch.int64)

    return encode


def _padded_tokenizer(tokenizer_path: Path, config_path: Path, length: int) -> Tokenizer:
    """A tokenizer that cuts and pads to `length` ids, special tokens included."""
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    config: dict[str, Any] = json.loads(config_path.read_text(encoding="utf-8"))
    pad = config.get("pad_token") or "<pad>"
    token = pad["content"] if isinstance(pad, dict) else str(pad)
    pad_id = tokenizer.token_to_id(token)
    if pad_id is None:
        raise InputError(f"{config_path} pads with {token!r}, which {tokenizer_path} does not know")
    tokenizer.enable_truncation(max_length=length)
    tokenizer.enable_padding(length=length, pad_id=pad_id, pad_token=token)
    return tokenizer


def _obtain(record: EncoderRecord, request: LoadRequest, repo: str, filename: str) -> Path:
    hub = HubFile(repo, (filename,))
    looked = []
    for path in _local(record, request, hub, filename):
        if path.is_file():
            return path
        looked.append(str(path))
    cached = cached_hub_file(hub, hub_cache())
    if cached is not None:
        return cached
    looked.append(f"the cache {hub_cache()}: no {repo}/{filename}")
    try:
        return download_hub_file(hub, offline=request.offline)
    except DownloadError as failure:
        raise WeightsNotFound(
            record.name,
            f"{filename} of {repo}, which its text tower reads words with",
            [*looked, str(failure)],
        ) from failure


def _local(
    record: EncoderRecord, request: LoadRequest, hub: HubFile, filename: str
) -> Iterator[Path]:
    if request.weights_path is not None:
        yield request.weights_path.with_name(filename)
    if request.weights_dir is not None:
        yield request.weights_dir / hub.repo / filename
        yield request.weights_dir / f"{mirror_names(record)[0]}.{filename}"
        cached = cached_hub_file(hub, request.weights_dir)
        if cached is not None:
            yield cached
