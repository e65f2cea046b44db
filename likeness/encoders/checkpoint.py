"""Files of weights: reading them safely, and saying how they do not fit."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from likeness.encoders.preprocess import Preprocess
from likeness.errors import WeightsUnreadable

StateDict = dict[str, torch.Tensor]

# Training scripts save the weights under one of these keys; averaged weights come first, as in
# timm.models.load_state_dict.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")


def read_tensors(path: Path) -> StateDict:
    """The named tensors of a .safetensors, .pt, .pth or .bin file, on the CPU.

    PyTorch files are read with weights_only: a file that wants to run code is refused.
    Raises WeightsUnreadable when the file is damaged, of another kind, or holds no tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path, device="cpu")
        # Mapped into memory where the format allows, so that nothing is read twice for checking.
        mapped = zipfile.is_zipfile(path)
        with warnings.catch_warnings():
            # A pickle of another protocol is read or refused below; the advice is for its authors.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except SafetensorError as error:
        raise WeightsUnreadable(
            str(path), f"it is not a whole .safetensors file ({error})"
        ) from error
    except pickle.UnpicklingError as error:
        raise WeightsUnreadable(
            str(path),
            f"it holds more than tensors, and loading those could run code ({_first_line(error)})",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsUnreadable(str(path), _first_line(error)) from error
    return _unwrapped(path, loaded)


def _unwrapped(path: Path, loaded: object) -> StateDict:
    if isinstance(loaded, Mapping):
        for key in _WRAPPERS:
            if isinstance(loaded.get(key), Mapping):
                loaded = loaded[key]
                break
    if not isinstance(loaded, Mapping):
        raise WeightsUnreadable(str(path), f"it holds a {type(loaded).__name__}, not named tensors")
    tensors = {str(name): value for name, value in loaded.items() if torch.is_tensor(value)}
    if not tensors:
        raise WeightsUnreadable(str(path), "it holds no tensors")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def shape_mismatches(tensors: StateDict, model: torch.nn.Module) -> list[str]:
    """What the libraries would resample in silence (position embeddings of another input size)
    or refuse: same name, same rank, another shape. Names in the order of the model."""
    return [
        f"{name} is {_shape(tensors[name])} in the file, {_shape(expected)} in the architecture"
        for name, expected in model.state_dict().items()
        if name in tensors
        and tensors[name].ndim == expected.ndim
        and tensors[name].shape != expected.shape
    ]


def missing_names(tensors: StateDict, model: torch.nn.Module) -> list[str]:
    """Tensors that the architecture has and the file lacks."""
    return [f"{name} is missing" for name in model.state_dict() if name not in tensors]


def load_error_mismatches(error: BaseException) -> list[str]:
    """The mismatches in the message of torch's strict load_state_dict, one by one."""
    text = str(error)
    found: list[str] = []
    for label, words in (("Missing", "is missing"), ("Unexpected", "is not in the architecture")):
        listing = re.search(rf"{label} key\(s\) in state_dict: (.*?)\.\s*(?:\n|$)", text, re.DOTALL)
        if listing:
            found += [f"{name} {words}" for name in re.findall(r'"([^"]+)"', listing.group(1))]
    sizes = re.findall(
        r"size mismatch for (\S+): copying a param with shape torch\.Size\((.*?)\) from "
        r"checkpoint, the shape in current model is torch\.Size\((.*?)\)",
        text,
    )
    found += [f"{n} is {a} in the file, {b} in the architecture" for n, a, b in sizes]
    return found or [f"{type(error).__name__}: {_first_line(error)}"]


def fingerprint_of(
    architecture: str, pooling: str, preprocess: Preprocess, model: torch.nn.Module
) -> str:
    """Hex SHA-256 over architecture, preprocessing and every tensor of a model in fp32.

    Taken before the model goes to its device and precision, so that those do not matter.
    """
    digest = hashlib.sha256()
    head = {"architecture": architecture, "pooling": pooling, "preprocess": asdict(preprocess)}
    digest.update(json.dumps({"likeness encoder": 1} | head, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"\n{name} {tensor.dtype} {_shape(tensor)}\n".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _shape(tensor: torch.Tensor) -> str:
    return str(list(tensor.shape))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
