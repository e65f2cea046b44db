"""What every benchmark records beside its figures: commit, machine, versions, data, encoder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
RESULTS = _ROOT / "benchmarks" / "results"
_PACKAGES = ("torch", "timm", "open_clip_torch", "faiss-cpu", "numpy", "pillow", "sqlalchemy")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, GPU if any, and the versions that decide the speed."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 1),  # more than the cores: others disturbed
        "gpu": _gpu(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def peak_mib() -> int:
    """The most memory that this process has held, mapped files included.

    `ru_maxrss` would not do: it starts at the parent's own peak.
    """
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024)


def write_result(
    name: str,
    *,
    command: Sequence[str],
    data: str,
    encoder: str | None,
    figures: Mapping[str, Any],
) -> Path:
    """Write `results/NAME.json`; returns its path.

    command: the arguments that print these figures again. data: the set, with its size.
    encoder: name and fingerprint, or None when no encoder takes part.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {
        "benchmark": name,
        "command": " ".join(command),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": machine(),
        "data": data,
        "encoder": encoder,
        "figures": dict(figures),
    }
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in (columns, *cells)) for i in range(len(columns))]
    for row in (columns, ["-" * w for w in widths], *cells):
        print("| " + " | ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) + " |")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return git("rev-parse", "--short=12", "HEAD") + changed


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    import torch  # slow to import, and needed last

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
