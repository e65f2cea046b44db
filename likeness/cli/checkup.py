"""What `likeness doctor` looks at. Each look gives findings and changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from indexer.publish import is_due
from likeness.catalog import Catalog
from likeness.catalog.inspection import damages, inspect_database
from likeness.catalog.records import Space
from likeness.catalog.serving.spaces import named_spaces
from likeness.catalog.serving.upkeep import Upkeep
from likeness.catalog.serving.work import WorkState
from likeness.cli.output import duration_text, size_text
from likeness.encoders.registry import find
from likeness.encoders.weights import weights_status
from likeness.errors import LikenessError, SettingsError, SnapshotError, SnapshotMissing
from likeness.runtime import Runtime
from likeness.settings import Settings
from likeness.vectors.snapshot import open_snapshot, try_canaries

_LITTLE_SPACE = 5 << 30
_NO_SPACE = 512 << 20
_LONG_WAIT_S = 300.0


class Status(StrEnum):
    """WARN: it works, but less well than it could, or not for long. FAIL: something does not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """check: stable, for scripts. detail: what is so. remedy: what to do, if anything."""

    check: str
    status: Status
    detail: str
    remedy: str = ""


def examine(settings: Settings, *, deep: bool = False) -> Iterator[Finding]:
    """Every finding, check by check. deep: also reads the whole database."""
    yield from _look_at_disk(settings)
    database = list(_look_at_database(settings))
    yield from database
    if deep and all(finding.status is not Status.FAIL for finding in database):
        yield _look_for_damage(settings)
    yield from _look_at_broker(settings)
    if database[-1].check == "migrations" and database[-1].status is Status.OK:
        with Runtime(settings) as runtime:
            if settings.broker_url:
                yield _look_at_queue(runtime.catalog)
            for name, space in named_spaces(runtime.catalog):
                yield _look_at_weights(settings, name, space)
                yield _look_at_index(runtime, runtime.catalog, name, space)
    yield _look_at_gpu(settings)


# --------------------------------------------------------------------------- disk


def _look_at_disk(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    usage = shutil.disk_usage(there)
    detail = f"{size_text(usage.free)} of {size_text(usage.total)} free at {home}"
    remedy = "make room, or move the home with LIKENESS_HOME"
    if usage.free < _NO_SPACE:
        yield Finding("disk", Status.FAIL, detail, remedy)
    elif usage.free < _LITTLE_SPACE:
        yield Finding("disk", Status.WARN, detail, remedy)
    else:
        yield Finding("disk", Status.OK, detail)
    yield _look_at_home(home)


def _look_at_home(home: Path) -> Finding:
    if not home.exists():
        detail = f"{home} does not exist yet"
        return Finding("home", Status.WARN, detail, "index something: `likeness index FOLDER`")
    probe = home / ".doctor"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        detail = f"{home} cannot be written: {error.strerror}"
        return Finding("home", Status.FAIL, detail, "change its owner, or set LIKENESS_HOME")
    return Finding("home", Status.OK, f"{home} can be written")


# --------------------------------------------------------------------------- database


def _look_at_database(settings: Settings) -> Iterator[Finding]:
    try:
        state = inspect_database(settings.catalog_url)
    except LikenessError as error:
        remedy = "start the database server, or mend LIKENESS_DATABASE_URL"
        yield Finding("database", Status.FAIL, str(error), remedy)
        return
    if not state.exists or state.revision is None:
        detail = f"{state.server}: no catalog yet"
        yield Finding("database", Status.WARN, detail, "index something, or run `likeness upgrade`")
        return
    yield Finding("database", Status.OK, f"{state.server} answers")
    if state.at_head:
        yield Finding("migrations", Status.OK, f"schema {state.revision}, the newest")
    elif state.revision > state.head:
        detail = f"schema {state.revision} is newer than this version knows ({state.head})"
        yield Finding("migrations", Status.FAIL, detail, "upgrade Likeness")
    else:
        detail = f"schema {state.revision}, this version wants {state.head}"
        yield Finding("migrations", Status.FAIL, detail, "run `likeness upgrade`")


def _look_for_damage(settings: Settings) -> Finding:
    found = list(damages(settings.catalog_url))
    if not found:
        return Finding("contents", Status.OK, "every chunk of vectors is as it was written")
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    remedy = "`likeness restore` a backup, or index the sources into another home"
    return Finding("contents", Status.FAIL, "; ".join(found[:3]) + more, remedy)


# --------------------------------------------------------------------------- broker


def _look_at_broker(settings: Settings) -> Iterator[Finding]:
    if not settings.broker_url:
        yield Finding("broker", Status.OK, "none set: work is done in the calling process")
        return
    try:
        from workers.broker_health import look_at_broker  # Redis only where there is one
    except ModuleNotFoundError as error:
        detail = f"a broker is set, but {error.name} is not installed"
        yield Finding("broker", Status.FAIL, detail, "pip install 'likeness[server]'")
        return
    try:
        health = look_at_broker(settings.broker_url)
    except SettingsError as error:
        yield Finding("broker", Status.FAIL, str(error), "mend LIKENESS_BROKER_URL")
        return
    if not health.reachable:
        detail = f"Redis does not answer: {health.problem}"
        yield Finding("broker", Status.FAIL, detail, "start Redis, or mend LIKENESS_BROKER_URL")
        return
    used = f"Redis {health.version} answers, {size_text(health.used)} used"
    if health.policy not in (None, "noeviction"):
        detail = f"{used}; its policy is {health.policy}: under pressure it drops queued work"
        remedy = "set `maxmemory-policy noeviction` in redis.conf"
        yield Finding("broker", Status.WARN, detail, remedy)
    elif health.limit and health.used > 0.9 * health.limit:
        detail = f"{used} of {size_text(health.limit)}"
        yield Finding("broker", Status.WARN, detail, "raise maxmemory, or start more workers")
    else:
        yield Finding("broker", Status.OK, used)


def _look_at_queue(catalog: Catalog) -> Finding:
    backlog = Upkeep(catalog).backlog()
    dead = sum(entry.pieces for entry in backlog if entry.state is WorkState.DEAD)
    ready = [entry for entry in backlog if entry.state is WorkState.READY]
    if dead:
        detail = f"{dead:,} pieces of work were given up after too many attempts"
        remedy = "`likeness jobs` says why; `likeness jobs retry ID` tries again"
        return Finding("queue", Status.WARN, detail, remedy)
    waited = max((entry.waited_s for entry in ready), default=0.0)
    if waited > _LONG_WAIT_S:
        queues = ", ".join(sorted({entry.queue for entry in ready}))
        detail = f"work has waited for {duration_text(waited)} in {queues}"
        return Finding("queue", Status.WARN, detail, "start a worker: `likeness worker`")
    images = sum(entry.images for entry in backlog)
    return Finding("queue", Status.OK, f"{images:,} images are waiting or in hand")


# --------------------------------------------------------------------------- spaces


def _look_at_weights(settings: Settings, collection: str, space: Space) -> Finding:
    check = "weights"
    try:
        status = weights_status(find(space.encoder), settings.weights)
    except LikenessError as error:
        return Finding(check, Status.FAIL, f"{collection}: {error}", "`likeness models` lists them")
    if status.present:
        return Finding(check, Status.OK, f"{collection}: {space.encoder} in {status.where}")
    detail = f"{collection}: the weights of {space.encoder} are not on this machine"
    remedy = (
        "put them into the folder of LIKENESS_WEIGHTS (`likeness models --json` names the file)"
    )
    if settings.offline or not status.where.startswith("hub:"):
        return Finding(check, Status.FAIL, detail, remedy)
    detail += f"; they would be fetched from {status.where} when first needed"
    return Finding(check, Status.WARN, detail, f"fetch them by any search, or {remedy}")


def _look_at_index(runtime: Runtime, catalog: Catalog, collection: str, space: Space) -> Finding:
    name, directory = f"{collection}, {space.encoder}", runtime.index_dir(space)
    rebuild = f"run `likeness reindex --collection {collection} --index-only`"
    head = catalog.head(space.collection_id, space.id)
    row = head.snapshot
    if row is None:
        if next(catalog.stream_vectors(space.id, rows=1), None) is None:
            return Finding("index", Status.OK, f"{name}: holds no images yet")
        return Finding("index", Status.WARN, f"{name}: none yet, searched exactly", rebuild)
    try:
        snapshot = open_snapshot(directory / row.name, server=runtime.settings.index_url)
        try_canaries(snapshot)
    except SnapshotMissing:
        detail = f"{name}: {row.name} is not on this machine, answers come from the database"
        return Finding("index", Status.WARN, detail, rebuild)
    except SnapshotError as error:
        return Finding("index", Status.FAIL, f"{name}: {error}", rebuild)
    added, dead = catalog.count_changes(space.id, row.revision)
    detail = f"{name}: {snapshot.manifest.count:,} images, checksums right"
    if is_due(snapshot.manifest.count, added, dead):
        detail += f"; {added:,} images came and {dead:,} went since"
        return Finding("index", Status.WARN, detail, rebuild)
    return Finding("index", Status.OK, detail)


# --------------------------------------------------------------------------- GPU


def _look_at_gpu(settings: Settings) -> Finding:
    import torch  # slow to import

    from likeness.encoders.devices import choose_device

    try:
        device = choose_device(settings.device)
    except SettingsError as error:
        return Finding(
            "gpu", Status.FAIL, str(error), "set LIKENESS_DEVICE=auto or mend the driver"
        )
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        detail = (
            f"{torch.cuda.get_device_name(device)}, {size_text(free)} of {size_text(total)} free"
        )
        if free < total / 10:
            return Finding("gpu", Status.WARN, detail, "end what else uses it, or set --batch-size")
        return Finding("gpu", Status.OK, detail)
    if device.type == "cpu" and settings.device == "auto" and Path("/dev/nvidiactl").exists():
        detail = "there is an NVIDIA GPU, but this torch cannot use it"
        remedy = "install a CUDA build of torch, and a driver that is new enough for it"
        return Finding("gpu", Status.WARN, detail, remedy)
    return Finding("gpu", Status.OK, f"encoders run on {device.type}")
