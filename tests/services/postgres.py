"""A PostgreSQL server for one test process, in a temporary directory, on a free port."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

_USER = "likeness"
_START_TIMEOUT_S = 60.0
_PR_SET_PDEATHSIG = 1


def find_binaries() -> Path | None:
    """Folder with `initdb` and `postgres`, newest version first, or None."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(installed, key=lambda p: float(p.parent.name), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: the user to become instead, or None if we are not root."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def die_with_parent() -> None:
    """Runs in the child: the server ends when this test process does, even by SIGKILL."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class PostgresServer:
    """Started by entering, stopped and removed by leaving.

    durable: as in production, for measurements. Tests do without: they kill our own processes,
    never this server.
    """

    def __init__(self, binaries: Path, *, durable: bool = False) -> None:
        self._binaries, self._durable = binaries, durable
        self.user = _unprivileged_user()
        self._folder = Path(tempfile.mkdtemp(prefix="likeness-postgres-"))
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            if self.user is not None:
                shutil.chown(self._folder, user=self.user)
            self._initialise()
            self._start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self._port}/{database}"

    def create_database(self, name: str) -> None:
        self._admin(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def drop_database(self, name: str) -> None:
        """Drops it although a test may have left connections open."""
        self._admin(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def restart(self) -> None:
        """It went down as an operator takes it down, cutting connections, and is up again."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """It is down; its data stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Until the block ends, it answers nothing and accepts nothing, like a host cut off."""
        assert self._process is not None
        stopped = [self._process.pid, *_children_of(self._process.pid)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _admin(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(statement)

    def conninfo(self) -> str:
        """For administration, as libpq takes it."""
        return f"host=127.0.0.1 port={self._port} user={_USER} dbname=postgres connect_timeout=5"

    def _initialise(self) -> None:
        subprocess.run(
            [self._binaries / "initdb", "-D", self._folder / "data", "-U", _USER, "-A", "trust",
             "-E", "UTF8", "--locale=C", "--no-sync"],
            user=self.user, cwd=self._folder, check=True, capture_output=True,
        )  # fmt: skip

    def _start(self) -> None:
        self._port = self._port or free_port()
        careless = ["-F", "-c", "full_page_writes=off", "-c", "synchronous_commit=off"]
        log = (self._folder / "log").open("wb")
        with log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._folder / "data", "-p", str(self._port),
                 "-h", "127.0.0.1", "-k", self._folder, "-c", "max_connections=60",
                 *([] if self._durable else careless)],
                user=self.user, cwd=self._folder, stdout=log, stderr=log,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.conninfo()).close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    text = (self._folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL did not start: {text}") from error
                time.sleep(0.05)
            else:
                return

    def _remove(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=30)
        shutil.rmtree(self._folder, ignore_errors=True)
