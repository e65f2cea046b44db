"""Building models whose every parameter is about to be overwritten by weights from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_FILLS = frozenset(
    getattr(Tensor, name)
    for name in ("uniform_", "normal_", "erfinv_", "mul_", "add_", "div_", "clamp_", "zero_",
                 "fill_")
)  # fmt: skip


class Uninitialised(TorchFunctionMode):
    """Within, parameters of new modules keep whatever was in their memory.

    Drawing random numbers for them is a large part of loading, and is thrown away.
    Only for builds that end in a strict `load_state_dict`, which goes on as ever; buffers are
    computed as ever, too.

    shared: tensors that are handed around instead of copied: timm copies its configuration,
    with all the weights in it, twice.
    """

    def __init__(self, shared: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self._shared = {id(tensor) for tensor in shared}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _FILLS and isinstance(args[0], nn.Parameter):
            return args[0]
        if func is torch.Tensor.__deepcopy__ and id(args[0]) in self._shared:
            return args[0]
        return func(*args, **(kwargs or {}))
