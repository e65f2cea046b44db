"""A folder that a worker's processes share: how the supervisor asks, and sees that work goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROGRESS, _STOP, _BUSY, _OWNER = "progress", "stop", "busy-", "owner-"
_APART_S = 0.5
"""Signs of life that follow one another faster are one: there may be thousands a second."""


class RunDir:
    """Files in a folder of the supervisor's; whoever cannot write there goes on without."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = -_APART_S

    # ---------------------------------------------------------------- by the processes that work

    def progressed(self) -> None:
        """Something got done just now."""
        now = time.monotonic()
        if now - self._last >= _APART_S:
            self._last = now
            with suppress(OSError):
                (self.path / _PROGRESS).touch()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """This process has work in hand until the block ends."""
        mark = self.path / f"{_BUSY}{os.getpid()}"
        with suppress(OSError):
            mark.touch()
        try:
            yield
        finally:
            with suppress(OSError):
                mark.unlink()

    def introduce(self, owner: str) -> None:
        """This process holds leases under that name."""
        with suppress(OSError):
            (self.path / f"{_OWNER}{os.getpid()}").write_text(owner)

    def stop_asked(self) -> bool:
        return (self.path / _STOP).exists()

    # ---------------------------------------------------------------- by the supervisor

    def ask_to_stop(self) -> None:
        """Work in hand is to be finished, or handed back."""
        (self.path / _STOP).touch()

    def last_sign(self) -> int:
        """Changes whenever something gets done; 0 before the first time. No time to reckon with:
        clocks jump."""
        try:
            return (self.path / _PROGRESS).stat().st_mtime_ns
        except OSError:
            return 0

    def busy_pids(self) -> list[int]:
        """Processes that have work in hand; the dead among them are forgotten."""
        return [pid for pid, _ in self._of_living(_BUSY)]

    def orphaned(self) -> list[str]:
        """Names of leases whose processes are dead, each told once."""
        found = []
        for path in sorted(self.path.glob(f"{_OWNER}*")):
            if not _lives(int(path.name.removeprefix(_OWNER))):
                found.append(path.read_text())
                path.unlink()
        return [owner for owner in found if owner]

    def _of_living(self, prefix: str) -> Iterator[tuple[int, Path]]:
        for path in sorted(self.path.glob(f"{prefix}*")):
            pid = int(path.name.removeprefix(prefix))
            if _lives(pid):
                yield pid, path
            else:
                path.unlink(missing_ok=True)


def cpu_s(pid: int) -> float | None:
    """Seconds that a process has computed so far, its threads included; None where /proc does not
    tell, or no such process is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
