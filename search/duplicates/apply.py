"""Carrying out a plan, and taking it back. Killed at any moment, no image is lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from likeness.errors import PlanError
from search.duplicates.journal import Entry, Journal, JournalWriter, open_journal, parse_journal
from search.duplicates.moves import move, sha256_of, sync_folder
from search.duplicates.plan import Action, Plan, Step, check_plan


class Bookkeeper(Protocol):
    """Told of each file that was moved, so that the catalog follows the disk."""

    def removed(self, image_id: int, kept_id: int) -> Mapping[str, Any]:
        """The image is gone and its tags and facts are the kept one's too; what that changed.

        May be told twice of the same image.
        """
        ...

    def restored(self, image_id: int, kept_id: int, merged: Mapping[str, Any]) -> None:
        """The image is back and what `removed` changed in the kept one is changed back."""
        ...


class NoBookkeeper:
    """Files only."""

    def removed(self, image_id: int, kept_id: int) -> Mapping[str, Any]:  # noqa: ARG002
        return {}

    def restored(self, image_id: int, kept_id: int, merged: Mapping[str, Any]) -> None:  # noqa: ARG002
        return None


@dataclass(slots=True)
class Outcome:
    """done: paths taken away or brought back. skipped: (path, reason), left as they were."""

    journal: Path
    done: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


class _SkipError(Exception):
    """A step that must not be done; the message says why."""


def apply_plan(
    plan: Plan,
    books: Bookkeeper,
    *,
    stopped: Callable[[], bool] = lambda: False,
    on_step: Callable[[Step], None] = lambda _step: None,
) -> Outcome:
    """Every step of the plan is done, or listed as skipped with the reason.

    Before a copy is moved, it and the image kept for it are hashed and must be as planned, and
    the move is in the undo journal. Run again after a kill, it goes on where it was.
    """
    check_plan(plan, plan.plan_id)
    outcome = Outcome(plan.journal)
    if not plan.steps:
        return outcome
    header = {"plan_id": plan.plan_id, "collection": plan.collection, "action": plan.action.value}
    leaving = {os.path.realpath(step.remove.path) for step in plan.steps}
    with open_journal(plan.journal, header) as (journal, writer):
        if any(entry.undone for entry in journal.entries.values()):
            raise PlanError(
                str(plan.journal),
                "this plan was applied and undone",
                "make a new plan to act again",
            )
        for step in plan.steps:
            if stopped():
                break
            entry = journal.entries.get(step.number)
            if entry is not None and entry.done:
                outcome.done.append(step.remove.path)
                continue
            try:
                _do(plan, step, entry, writer, books, leaving)
            except _SkipError as reason:
                outcome.skipped.append((step.remove.path, str(reason)))
            except OSError as error:
                outcome.skipped.append((step.remove.path, error.strerror or str(error)))
            else:
                outcome.done.append(step.remove.path)
                on_step(step)
    return outcome


def _do(
    plan: Plan,
    step: Step,
    begun: Entry | None,
    writer: JournalWriter,
    books: Bookkeeper,
    leaving: set[str],
) -> None:
    source, kept = Path(step.remove.path), Path(step.keep.path)
    destination, link = plan.destination(step), plan.action is Action.HARDLINK
    moved_before = begun is not None and sha256_of(destination) == step.remove.sha256
    if not moved_before:
        _check_files(step, source, kept, leaving)
        if begun is None:
            writer.begun(
                Entry(
                    number=step.number,
                    source=str(source),
                    destination=str(destination),
                    sha256=step.remove.sha256,
                    kept=str(kept),
                    image_id=step.remove.image_id,
                    kept_id=step.keep.image_id,
                    link=link,
                )
            )
        move(source, destination, step.remove.sha256)
    elif os.path.lexists(source) and not (link and _is_link_to(source, kept)):
        # Killed between copying to another file system and letting go of the source.
        _check_files(step, source, kept, leaving)
        source.unlink()
        sync_folder(source.parent)
    if sha256_of(kept) != step.keep.sha256:
        move(destination, source, step.remove.sha256)
        raise _SkipError(f"{kept}, kept for it, has changed or gone meanwhile; it was put back")
    if link:
        _link(kept, source, destination, step)
    merged = {} if link else books.removed(step.remove.image_id, step.keep.image_id)
    writer.done(step.number, merged)


def _check_files(step: Step, source: Path, kept: Path, leaving: set[str]) -> None:
    if source.is_symlink():
        raise _SkipError("it is a symbolic link, not a copy")
    found = sha256_of(source)
    if found is None:
        raise _SkipError("it is not there any more")
    if found != step.remove.sha256:
        raise _SkipError("its bytes have changed since the plan was made")
    if sha256_of(kept) != step.keep.sha256:
        raise _SkipError(f"{kept}, to be kept for it, has changed or is gone")
    if os.path.realpath(kept) in leaving:
        raise _SkipError(f"{kept}, to be kept for it, leads to a file that is to be taken away")
    if source.samefile(kept):
        raise _SkipError(f"it is the same file as {kept}, to be kept for it")


def _link(kept: Path, source: Path, destination: Path, step: Step) -> None:
    if os.path.lexists(source):
        if source.samefile(kept):
            return
        raise _SkipError("another file has taken its place; it lies in " + str(destination))
    try:
        os.link(kept, source)
    except OSError as error:
        move(destination, source, step.remove.sha256)
        why = "is on another file system" if error.errno == errno.EXDEV else str(error.strerror)
        raise _SkipError(f"it cannot be linked to {kept}: {why}; it was put back") from error
    sync_folder(source.parent)


def undo(path: Path, books: Bookkeeper) -> Outcome:
    """Every file that the journal at path took away is back where it was, the last one first.

    A place that something else has taken meanwhile is left alone and listed. Safe to repeat.
    """
    outcome = Outcome(path)
    with open_journal(path, None) as (journal, writer):
        for entry in reversed(list(journal.entries.values())):
            if entry.undone:
                continue
            try:
                brought_back = _undo_step(entry)
            except _SkipError as reason:
                outcome.skipped.append((entry.source, str(reason)))
                continue
            except OSError as error:
                outcome.skipped.append((entry.source, error.strerror or str(error)))
                continue
            if not entry.link:
                books.restored(entry.image_id, entry.kept_id, entry.merged)
            writer.undone(entry.number)
            if brought_back:
                outcome.done.append(entry.source)
    return outcome


def _undo_step(entry: Entry) -> bool:
    source, destination = Path(entry.source), Path(entry.destination)
    away = sha256_of(destination)
    if away is None:
        if sha256_of(source) == entry.sha256:
            return False  # the step had not begun
        raise _SkipError(f"it is neither there nor at {destination}")
    if away != entry.sha256:
        raise _SkipError(f"{destination} has other bytes than were moved there")
    if not os.path.lexists(source):
        move(destination, source, entry.sha256)
    elif entry.link and _is_link_to(source, Path(entry.kept)):
        move(destination, source, entry.sha256, replace=True)
    elif not source.is_symlink() and sha256_of(source) == entry.sha256:
        destination.unlink()  # killed while copying across file systems: the source never went
    else:
        raise _SkipError(f"another file has taken its place; it stays in {destination}")
    return True


def _is_link_to(source: Path, kept: Path) -> bool:
    return source.exists() and kept.exists() and source.samefile(kept)


def read_journal(path: Path) -> Journal:
    """The journal at path, for looking at. Raises PlanError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PlanError(str(path), f"cannot be read ({error.strerror})") from error
    return parse_journal(data[: data.rfind(b"\n") + 1], str(path))
