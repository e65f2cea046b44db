"""Likeness: image search for people who own images.

`likeness.open(home=…)` works in this process, `likeness.connect(url, api_key=…)` through a service;
both give the same client, see `likeness.client`. Neither is imported before it is used.
"""

import importlib as _importlib
from typing import Any as _Any

__version__ = "0.1.0"

_LAZY = {
    "open": ("likeness.client.opening", "open_home"),
    "connect": ("likeness.client.opening", "connect"),
}


def __getattr__(name: str) -> _Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(_importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
