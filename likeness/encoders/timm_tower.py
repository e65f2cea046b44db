"""Vision towers of timm (Wightman, PyTorch Image Models)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn

from likeness.encoders import checkpoint
from likeness.encoders.interface import LoadRequest
from likeness.encoders.preprocess import Interpolation, Preprocess, ResizeMode
from likeness.encoders.records import EncoderRecord
from likeness.encoders.timm_trunk import Trunk
from likeness.encoders.torch_tower import TorchTower
from likeness.encoders.uninitialised import Uninitialised
from likeness.encoders.weights import obtain
from likeness.errors import WeightsMismatch

_RESIZE_MODES: dict[str, ResizeMode] = {
    "center": "shortest",
    "squash": "squash",
    "border": "longest",
}


class TimmTower(TorchTower):
    """One of timm's models without its classifier."""

    def __init__(self, record: EncoderRecord, request: LoadRequest, model: nn.Module) -> None:
        trunk = Trunk(model)
        side = preprocess_of(model).size
        super().__init__(
            record,
            request,
            model,
            preprocess_of(model),
            patch_grid=trunk.patch_grid(side),
            heads=trunk.heads,
            attention_from=trunk.attention_from,
        )
        self._trunk = trunk

    def _features(self, pixels: Tensor) -> Tensor:
        return cast(Tensor, self.model(pixels))

    def _patch_tokens(self, pixels: Tensor) -> Tensor:
        return self._trunk.patch_tokens(pixels)

    def _attention(self, pixels: Tensor) -> Tensor:
        return self._trunk.attention(pixels)


def load(record: EncoderRecord, request: LoadRequest) -> TimmTower:
    """The encoder of a record: built by timm, its weights from a file, a mirror or the hub."""
    if request.random_seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.random_seed)
            return TimmTower(record, request, build(record))
    path = request.weights_path or obtain(
        record, request.name, request.weights_dir, offline=request.offline
    )
    return TimmTower(record, request, build_with_weights(record, path))


def build(record: EncoderRecord, *, meta: bool = False) -> nn.Module:
    """timm's model of a record without its classifier, at random initialisation.

    meta: without memory for its tensors, to look at names and shapes only.
    """
    with torch.device("meta" if meta else "cpu"):
        return timm.create_model(_timm_name(record), num_classes=0, **_options(record))


def build_with_weights(record: EncoderRecord, path: Path) -> nn.Module:
    """timm's model of a record with the weights of a file; the file's classifier is dropped.

    A classifier of any number of classes, or none, is no part of the embedding and may be in
    the file or not. Everything else must fit exactly. Raises WeightsUnreadable, WeightsMismatch.
    """
    tensors = checkpoint.read_tensors(path)
    skeleton = build(record, meta=True)
    mismatches = checkpoint.shape_mismatches(tensors, skeleton)
    if "siglip" in record.architecture and getattr(skeleton, "global_pool", "") != "map":
        # Of SigLIP without its pooling head timm loads what it finds; we do not.
        mismatches += checkpoint.missing_names(tensors, skeleton)
    if mismatches:
        raise WeightsMismatch(str(path), record.name, mismatches)
    config = cast(Any, skeleton).pretrained_cfg
    classes = _add_or_count_classes(tensors, config, int(cast(Any, skeleton).num_features))
    # With the state dict handed over and the number of classes the same on both sides, timm
    # converts foreign layouts and then loads strictly.
    overlay = {"state_dict": tensors, "num_classes": classes, "label_offset": 0}
    try:
        with Uninitialised(shared=tensors.values()):
            model = timm.create_model(
                _timm_name(record),
                pretrained=True,
                num_classes=classes,
                pretrained_cfg_overlay=overlay,
                **_options(record),
            )
    except (RuntimeError, LookupError, ValueError, AttributeError, TypeError) as error:
        found = checkpoint.load_error_mismatches(error)
        raise WeightsMismatch(str(path), record.name, found) from error
    if classes:
        cast(Any, model).reset_classifier(0)
    return model


def preprocess_of(model: nn.Module) -> Preprocess:
    """timm's own evaluation transform of a model, as ours."""
    config = cast(Any, resolve_model_data_config)(model)
    mean, std = tuple(map(float, config["mean"])), tuple(map(float, config["std"]))
    mode = _RESIZE_MODES[config["crop_mode"]]
    fill = tuple(round(255 * value) for value in mean) if mode == "longest" else (0, 0, 0)
    return Preprocess(
        size=int(config["input_size"][-1]),
        resize=mode,
        interpolation=cast(Interpolation, config["interpolation"]),
        crop_pct=float(config["crop_pct"]),
        mean=cast(tuple[float, float, float], mean),
        std=cast(tuple[float, float, float], std),
        fill=cast(tuple[int, int, int], fill),
    )


def _options(record: EncoderRecord) -> dict[str, Any]:
    return {"global_pool": record.global_pool} if record.global_pool else {}


def _timm_name(record: EncoderRecord) -> str:
    return record.name.partition(":")[2]


def _add_or_count_classes(
    tensors: checkpoint.StateDict, config: dict[str, Any], features: int
) -> int:
    """How many classes the file's classifier tells apart.

    Where the architecture has a classifier and the file none, one of a single class is put in:
    it is dropped after loading, but timm tells old layouts of some files by its name.
    """
    names = config.get("classifier") or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        weight = tensors.get(f"{name}.weight")
        if weight is not None:
            return int(weight.shape[0])
    if not config.get("num_classes"):
        return 0
    for name in names:
        tensors[f"{name}.weight"] = torch.zeros(1, features)
        tensors[f"{name}.bias"] = torch.zeros(1)
    return 1
