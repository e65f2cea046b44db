"""PostgreSQL, Redis, the HTTP API and workers: the processes of docker-compose.yml, with the same
environment, on free ports and in a temporary directory.

    python -m tests.system.stack [WORKERS]

starts them with the encoders that are installed, prints how to reach them, and stops at Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.services.postgres import PostgresServer, die_with_parent, find_binaries, free_port
from tests.services.redis import RedisServer, find_redis

ROOT = Path(__file__).resolve().parents[2]
_CLI = (sys.executable, "-c", "from likeness.cli.main import main; main()")
WORKER = (*_CLI, "worker")
API = (*_CLI, "serve", "--insecure")
_START_S = 60.0


class Stack:
    """Started by entering, gone with its data by leaving. settings: LIKENESS_* for all, by name."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        api: bool = False,
        worker: Sequence[str] = WORKER,
        serve: Sequence[str] = API,
        **settings: object,
    ) -> None:
        self.folder, self._count, self._with_api = folder, workers, api
        self._worker, self._serve, self._settings = worker, serve, settings
        self.home = Path(str(settings.get("home", folder / "home")))
        self.api_url = ""
        self.workers: list[subprocess.Popen[bytes]] = []
        self.api: subprocess.Popen[bytes] | None = None
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        binaries, program = find_binaries(), find_redis()
        if binaries is None or program is None:
            raise RuntimeError("PostgreSQL or Redis is not installed: run scripts/services.sh")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.postgres = self._opened.enter_context(PostgresServer(binaries, durable=True))
            self.postgres.create_database("likeness")
            self.redis = self._opened.enter_context(RedisServer(program))
            for _ in range(self._count):
                self.start_worker()
            if self._with_api:
                self.start_api()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    @property
    def database_url(self) -> str:
        return self.postgres.url("likeness")

    @property
    def environment(self) -> dict[str, str]:
        """What every process of it is started with."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LIKENESS_")}
        ours = {
            "home": self.home,
            "database_url": self.database_url,
            "broker_url": self.redis.url,
            **self._settings,
        }
        return {**kept, **{f"LIKENESS_{name.upper()}": str(value) for name, value in ours.items()}}

    def start_worker(self, *, wrapped_by: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """One more worker. wrapped_by: a program that starts the worker in its own way."""
        name = f"worker{len(self.workers)}"
        process = self._start([*wrapped_by, *self._worker], name)
        self.workers.append(process)
        return process

    def start_api(self) -> subprocess.Popen[bytes]:
        """The API, once it answers; on the port that it had before, if it had one."""
        port = int(self.api_url.rpartition(":")[2]) if self.api_url else free_port()
        self.api_url = f"http://127.0.0.1:{port}"
        self._settings = {**self._settings, "port": port}
        self.api = self._start(self._serve, "api")
        wait_until(lambda: _answers(f"{self.api_url}/healthz"), _START_S, "the API answers")
        return self.api

    def kill_workers(self) -> None:
        """SIGKILL for all of them and everything that they started, and they are forgotten."""
        for worker in self.workers:
            kill_all_of(worker)
        self.workers.clear()

    def log(self, name: str) -> str:
        """What `worker0`, `worker1`, `api` have said so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _start(self, command: Sequence[str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip

    def _close(self) -> None:
        for process in [*self.workers, *([self.api] if self.api else [])]:
            kill_all_of(process)
        self._opened.close()


def family(pid: int) -> list[int]:
    """A process and all that descend from it, the parents first."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def kill_all_of(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a process and all that descend from it, at once."""
    for pid in family(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout=30)


def wait_until(true: Callable[[], bool], timeout_s: float, what: str) -> float:
    """Seconds until the function said so; AssertionError when it did not in time."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def main(workers: str = "2") -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with (
        tempfile.TemporaryDirectory(prefix="likeness-stack-") as folder,
        Stack(Path(folder), workers=int(workers), api=True, encoder="likeness:tiny") as stack,
    ):
        print(f"the API listens on {stack.api_url}; for the command line:\n")
        for name in ("HOME", "DATABASE_URL", "BROKER_URL", "ENCODER"):
            print(f"  export LIKENESS_{name}={stack.environment[f'LIKENESS_{name}']}")
        print("\nCtrl-C stops everything and removes its data", flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
