"""The student before its first step: inherited from the teacher, or drawn at random."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from likeness.encoders.tiny.network import NetworkConfig, TinyNetwork, fit_weights
from likeness.errors import SettingsError
from training.checkpoint import load_checkpoint
from training.config import StudentConfig


def make_student(
    config: StudentConfig, classes: int, teacher_weights: dict[str, Tensor], seed: int
) -> TinyNetwork:
    """A student of this shape. With init = "teacher" every backbone tensor is the teacher's.

    Raises SettingsError when it shall inherit and the shapes do not allow it.
    """
    torch.manual_seed(seed)
    network = TinyNetwork(
        NetworkConfig(
            architecture=config.architecture,
            input_size=config.input_size,
            depth=config.depth,
            classes=classes,
            copy_dim=config.copy_dim,
        )
    )
    nn.init.orthogonal_(network.copy_head.weight)
    nn.init.zeros_(network.copy_head.bias)
    if config.init != "scratch":
        patch = int(network.backbone.patch_embed.patch_size[0])
        fitted = fit_weights(teacher_weights, config.input_size, patch, config.depth)
        try:
            network.backbone.load_state_dict(fitted)
        except RuntimeError as error:
            raise SettingsError(
                f"a student {config.architecture} cannot inherit the teacher's weights ({error}); "
                'give it the teacher\'s width and patch size, or set student.init = "scratch"'
            ) from error
    if config.init == "run":
        earlier = load_checkpoint(config.run)
        if earlier is None:
            raise SettingsError(f"student.run = {config.run} holds no checkpoint to start from")
        network.load_state_dict(earlier["average"])
        blend(network, teacher_weights, config.blend)
    return network


def blend(network: TinyNetwork, teacher_weights: Mapping[str, Tensor], share: float) -> None:
    """Replace this share of every backbone weight by the teacher's own (WiSE-FT)."""
    shape = network.config
    patch = int(network.backbone.patch_embed.patch_size[0])
    inherited = fit_weights(teacher_weights, shape.input_size, patch, shape.depth)
    for name, weight in network.backbone.state_dict().items():
        weight.lerp_(inherited[name].to(weight), share)
