"""Records of encoders outside the table, read off the libraries' own models.

The models are built without memory for their tensors (torch's meta device), so that a record of
a 7-billion-parameter tower costs a second, not 26 GB.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from likeness.encoders.records import (
    EncoderName,
    EncoderRecord,
    HubFile,
    Pooling,
    Purpose,
    Shape,
)

_POOLINGS: dict[str, Pooling] = {
    "token": "cls",
    "tok": "cls",
    "avg": "mean",
    "map": "attention",
    "none": "attention",
}
_OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def timm_record(parsed: EncoderName) -> EncoderRecord | None:
    """The record of any model that timm knows, with timm's own pooling; None when it knows none."""
    from likeness.encoders.timm_tower import build, preprocess_of

    name = parsed.base.partition(":")[2]
    if not timm.is_model(parsed.architecture):
        return None
    if parsed.tag and parsed.tag not in _timm_tags(parsed.architecture):
        return None
    blank = EncoderRecord(
        name=parsed.base,
        family=parsed.architecture.partition("_")[0],
        purposes=(Purpose.LOOK, Purpose.COPIES),
        dim=0,
        input_size=0,
        parameters=0,
        text_parameters=0,
        giga_flops=0.0,
        pooling="cls",
        shape=Shape(0, 0, 0, 0, 0),
        licence="unknown",
        loader="likeness.encoders.timm_tower:load",
    )
    model = build(blank, meta=True)
    config = timm.get_pretrained_cfg(name)
    repo, url = (config.hf_hub_id, config.url) if config else (None, None)
    filename = config.hf_hub_filename if config else None
    return dataclasses.replace(
        blank,
        dim=int(cast(Any, model).num_features),
        input_size=preprocess_of(model).size,
        parameters=_count(model),
        pooling=_POOLINGS.get(str(getattr(model, "global_pool", "avg")), "mean"),
        shape=shape_of(model, preprocess_of(model).size),
        licence=(config.license if config else None) or "unknown",
        giga_flops=_giga_flops(model, preprocess_of(model).size),
        hub=_timm_hub(repo, filename),
        url=url if isinstance(url, str) and not repo else None,
    )


def open_clip_record(parsed: EncoderName) -> EncoderRecord | None:
    """The record of any model that OpenCLIP knows; None when it knows none."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    from likeness.encoders.open_clip_towers import build, preprocess_of

    if parsed.architecture not in open_clip.list_models():
        return None
    config: dict[str, Any] = {}
    if parsed.tag:
        config = get_pretrained_cfg(parsed.architecture, parsed.tag)
        if not config:
            return None
    blank = EncoderRecord(
        name=parsed.base,
        family="CLIP",
        purposes=(Purpose.WORDS, Purpose.LOOK),
        dim=0,
        input_size=0,
        parameters=0,
        text_parameters=0,
        giga_flops=0.0,
        pooling="cls",
        shape=Shape(0, 0, 0, 0, 0),
        licence="unknown",
        loader="likeness.encoders.open_clip_towers:load",
    )
    model = build(blank, meta=True)
    visual = cast(Any, model).visual
    repo, _, filename = config.get("hf_hub", "").rpartition("/")
    trunk = getattr(visual, "trunk", None)
    pool = getattr(trunk, "global_pool", None) or getattr(visual, "pool_type", "tok")
    size = preprocess_of(model).size
    return dataclasses.replace(
        blank,
        dim=int(open_clip.get_model_config(parsed.architecture)["embed_dim"]),
        input_size=size,
        parameters=_count(visual),
        text_parameters=_count(model) - _count(visual),
        pooling=_POOLINGS.get(str(pool), "mean"),
        shape=_native_shape(visual, size) if trunk is None else shape_of(trunk, size),
        giga_flops=_giga_flops(visual, size),
        hub=HubFile(repo, (filename,) if filename else _OPEN_CLIP_FILES) if repo else None,
        url=config.get("url") or None if not repo else None,
    )


def shape_of(model: nn.Module, side: int) -> Shape:
    """The dimensions of a timm model at squares of `side` pixels; of hierarchical ones, those of
    the first stage."""
    trunk = cast(Any, model)
    first = trunk.feature_info[0]
    prefix = int(getattr(model, "num_prefix_tokens", 0))
    if hasattr(model, "blocks"):
        stage, depth = trunk.blocks[0], len(trunk.blocks)
    else:
        stages = trunk.layers if hasattr(model, "layers") else trunk.stages
        stage, depth = stages[0], sum(len(part.blocks) for part in stages)
    heads = [int(m.num_heads) for m in stage.modules() if hasattr(m, "num_heads")]
    return Shape(
        tokens=(side // int(first["reduction"])) ** 2 + prefix,
        width=int(first["num_chs"]),
        depth=depth,
        heads=heads[0] if heads else 0,
        hidden=_hidden(stage),
    )


def _native_shape(visual: nn.Module, side: int) -> Shape:
    tower = cast(Any, visual)
    block = tower.transformer.resblocks[0]
    return Shape(
        tokens=(side // int(tower.patch_size[0])) ** 2 + 1,
        width=int(tower.conv1.out_channels),
        depth=len(tower.transformer.resblocks),
        heads=int(block.attn.num_heads),
        hidden=int(block.mlp.c_fc.out_features),
    )


def _hidden(stage: nn.Module) -> int:
    """Width of what an MLP's first layer gives, both halves of a gated one."""
    for module in stage.modules():
        widths = [
            int(getattr(layer, "out_features", 0) or getattr(layer, "out_channels", 0))
            for name, layer in module.named_children()
            if name.startswith("fc1")
        ]
        if widths:
            return sum(widths)
    return 0


def _giga_flops(tower: nn.Module, side: int) -> float:
    """Floating-point operations of one image's way through a tower on the meta device, in 10⁹;
    a multiplication and an addition count as two."""
    # With gradients on: the counter cannot follow fused attention without them.
    with torch.enable_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
        tower.eval()(torch.empty(1, 3, side, side))
    return round(int(counter.get_total_flops()) / 1e9, 2)


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _timm_tags(architecture: str) -> set[str]:
    return {name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")}


def _timm_hub(repo: str | None, filename: str | None) -> HubFile | None:
    if not repo:
        return None
    if filename is None:
        return HubFile(repo)
    safe = filename.rpartition(".")[0] + ".safetensors"
    return HubFile(repo, (filename,) if filename.endswith(".safetensors") else (safe, filename))
