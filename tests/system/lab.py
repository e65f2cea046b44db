"""A stack to be mistreated, and what an undisturbed run makes of the same photos."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from indexer.progress import Progress
from indexer.service import Indexer, IndexRequest
from likeness.catalog import Catalog
from likeness.catalog.serving.jobs import Job
from likeness.errors import CatalogUnavailable
from likeness.settings import Settings, load_settings
from tests.fakes.pictures import write_pictures
from tests.fakes.runtime import FakeRuntime
from tests.system.contents import assert_search_is_right, content_of, difference
from tests.system.poison import PoisonedEncoder
from tests.system.stack import ROOT, Stack
from workers.queue import WorkQueue

RECOVERY_S = 60.0
"""The bar of every fault: this long after it, all is done as if nothing had happened."""

QUICK: dict[str, object] = {
    "queue_images": 8,
    "queue_lease_s": 3,
    "queue_sweep_s": 0.4,
    "queue_stint_s": 5,
    "queue_backoff_s": 0.2,
    "decode_workers": 1,
    "decode_timeout_s": 3,
    "decode_memory": 2**29,
    "worker_grace_s": 8,
    "compact_s": 0,
}
AS_SET: dict[str, object] = {
    name: Settings.model_fields[name].default
    for name in (
        "queue_lease_s",
        "queue_sweep_s",
        "queue_stint_s",
        "queue_backoff_s",
        "worker_grace_s",
        "worker_stall_s",
        "compact_s",
    )
}
"""The times of `QUICK`, as they are where nobody sets them."""

FAKE_API = (sys.executable, "-m", "tests.system.fake_api")


def fake_worker(seconds_per_batch: float = 0.0) -> tuple[str, ...]:
    """The command of a worker whose encoder takes that long for each batch of four."""
    return (sys.executable, "-m", "tests.system.fake_worker", str(seconds_per_batch))


def write_photos(folder: Path, count: int, *, copies: int = 0, broken: int = 0) -> Path:
    """Drawn pictures, some of them the same bytes as another, some cut in half."""
    paths = write_pictures(folder, count)
    for number in range(copies):
        path = paths[number % count]
        shutil.copy(path, folder / f"copy{number}{path.suffix}")
    for number in range(broken):
        path = paths[(7 * number + 3) % count]
        data = path.read_bytes()
        (folder / f"broken{number}{path.suffix}").write_bytes(data[: len(data) // 2])
    return folder


class Lab:
    """Works on a running stack. Close it before the stack."""

    def __init__(self, stack: Stack, folder: Path, **settings: object) -> None:
        """settings: other than those of `QUICK`."""
        self.stack, self.folder = stack, folder
        self.settings: Settings = load_settings(
            database_url=stack.database_url,
            broker_url=stack.redis.url,
            **{**QUICK, **settings, "home": stack.home},
        )
        self.catalog = Catalog.open(self.settings.catalog_url)
        self.queue = WorkQueue(self.settings, self.catalog)
        self._undisturbed = folder / "undisturbed"

    def close(self) -> None:
        self.queue.close()
        self.catalog.close()

    def index(self, photos: Path, collection: str = "default") -> Job:
        """A job, queued."""
        return self.queue.index(IndexRequest(collection, sources=[str(photos)]))

    def job(self, job_id: int) -> Job:
        return self.queue.jobs.get(job_id)

    def wait_for(
        self, job: Job, true: Callable[[Job], bool], what: str, within_s: float = RECOVERY_S
    ) -> Job:
        """The job once the function says so; AssertionError with the workers' logs if it never
        does. A database that cannot be reached is waited for."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                job = self.job(job.id)
            except CatalogUnavailable:
                pass
            else:
                if true(job):
                    return job
            time.sleep(0.03)
        logs = "\n".join(
            f"{path.name}:\n{path.read_text(errors='replace')[-4000:]}"
            for path in sorted(self.stack.folder.glob("worker*.log"))
        )
        raise AssertionError(f"not within {within_s:.0f} s: {what}; {job}\n{logs}")

    def finished(self, job: Job, within_s: float = RECOVERY_S) -> Job:
        """The job when it has ended."""
        return self.wait_for(job, lambda job: job.state.final, "the job has ended", within_s)

    def under_way(self, job: Job, images: int = 1) -> Job:
        """The job when so many images are settled."""
        return self.wait_for(job, lambda job: job.settled >= images, f"{images} images are done")

    def run_undisturbed(self, photos: Path, collection: str = "default") -> None:
        """The same photos, in this process, in a catalog of their own."""
        settings = load_settings(home=self._undisturbed, decode_workers=1)
        settings = settings.model_copy(
            update={
                name: getattr(self.settings, name) for name in ("decode_timeout_s", "decode_memory")
            }
        )
        with FakeRuntime(settings, PoisonedEncoder(0.0)) as runtime:
            Indexer(runtime).index(
                IndexRequest(collection, sources=[str(photos)]), Progress(), threading.Event()
            )

    def check(self, photos: Path, collection: str = "default") -> None:
        """The catalog equals that of an undisturbed run, and search answers right."""
        self.run_undisturbed(photos, collection)
        self.check_against(collection, collection)

    def check_against(self, collection: str, expected: str) -> None:
        """The same against what `run_undisturbed` has made before."""
        found = content_of(self.catalog, collection)
        url = load_settings(home=self._undisturbed).catalog_url
        with Catalog.open(url) as catalog:
            wrong = difference(found, content_of(catalog, expected))
        assert not wrong, wrong
        assert_search_is_right(self.settings, collection)

    def check_by_a_fresh_process(self, collections: str, expected: str, key: str = "uri") -> None:
        """As `check_against`, by a process that has seen nothing. collections: with commas between.
        key: see `contents`."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.system.contents", str(self.stack.home),
             self.stack.database_url, collections, str(self._undisturbed), expected, key],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    @contextmanager
    def checked_meanwhile(
        self, expected: str, key: str = "uri", *, at_once: int = 5
    ) -> Iterator[Callable[[str], None]]:
        """The function has a collection checked by a process that has seen nothing, a few of them
        by each, while the test goes on; what one finds wrong is raised when the block ends at the
        latest."""
        with ThreadPoolExecutor(1, "check") as checker:
            checks: list[Future[None]] = []
            waiting: list[str] = []

            def submit() -> None:
                if waiting:
                    names = ",".join(waiting)
                    checks.append(
                        checker.submit(self.check_by_a_fresh_process, names, expected, key)
                    )
                    waiting.clear()

            def check(collection: str) -> None:
                waiting.append(collection)
                if len(waiting) >= at_once:
                    submit()
                for done in [one for one in checks if one.done()]:
                    checks.remove(done)
                    done.result()

            yield check
            submit()
            for one in checks:
                one.result()


@contextmanager
def open_lab(
    folder: Path,
    *,
    workers: int = 2,
    seconds_per_batch: float = 0.0,
    api: bool = False,
    **settings: object,
) -> Iterator[Lab]:
    """A lab over a new stack. seconds_per_batch: what the encoder takes for four images."""
    stack = Stack(
        folder / "stack",
        workers=workers,
        api=api,
        worker=fake_worker(seconds_per_batch),
        serve=FAKE_API,
        **{**QUICK, **settings},
    )
    with stack:
        lab = Lab(stack, folder, **settings)
        try:
            yield lab
        finally:
            lab.close()
