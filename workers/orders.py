"""What a supervisor tells the process that takes messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Orders:
    """settings: as `Settings.model_dump(mode="json")`. run_dir: of a `RunDir`."""

    settings: dict[str, Any]
    queues: Sequence[str]
    concurrency: int
    run_dir: str
    log_level: str

    def as_text(self) -> str:
        """JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Orders:
        """What `as_text` gave."""
        return cls(**json.loads(text))
