"""Estimated memory of activations against measured peaks, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from likeness.encoders.memory import activation_bytes
from likeness.encoders.registry import find

ENCODERS = (
    "timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k",
    "timm:vit_small_patch14_reg4_dinov2.lvd142m",
    "timm:swin_tiny_patch4_window7_224.ms_in22k_ft_in1k",
    "open_clip:ViT-B-32/laion2b_s34b_b79k",
    "open_clip:MobileCLIP2-S0/dfndr2b",
)
_BATCH = 16

_PROGRAM = """
import json, sys
import numpy as np
from pathlib import Path
from likeness.encoders import load_encoder
name, precision, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
encoder = load_encoder(name, device="cpu", precision=precision, batch_size=batch, random_seed=0)
side = encoder.spec.input_size
squares = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
def status(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
encoder.embed_prepared(squares[:1])
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
encoder.embed_prepared(squares)
print(json.dumps({"peak": status("VmHWM") - before}))
"""


def measured_bytes(name: str, precision: str, batch: int = _BATCH) -> int:
    """Growth of resident memory at its peak while a batch passes, in bytes. Linux only."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, name, precision, str(batch)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(json.loads(done.stdout)["peak"])


def memory_rows() -> list[dict[str, Any]]:
    """One row per encoder and precision."""
    rows = []
    for name in ENCODERS:
        for precision in ("fp32", "bf16"):
            estimate = activation_bytes(find(name), _BATCH, precision)
            measured = measured_bytes(name, precision)
            rows.append(
                {
                    "encoder": name,
                    "precision": precision,
                    "batch": _BATCH,
                    "estimated MB": round(estimate / 1e6, 1),
                    "measured MB": round(measured / 1e6, 1),
                    "estimate / measured": round(estimate / measured, 2),
                }
            )
    return rows
