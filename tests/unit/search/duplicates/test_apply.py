"""Apply then undo restores every byte; killed at any moment, no file is lost."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from likeness.errors import PlanError
from search.duplicates.apply import NoBookkeeper, apply_plan, read_journal, undo
from search.duplicates.plan import Action, Plan, PlannedFile, Step, read_plan, write_plan

ROOT = Path(__file__).resolve().parents[4]


def file_of(path: Path, number: int) -> PlannedFile:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return PlannedFile(number, path.as_uri(), str(path), digest)


def make_library(folder: Path, groups: list[int]) -> list[list[Path]]:
    """Groups of files in two folders; each file's bytes tell its group and place."""
    made = []
    for group, size in enumerate(groups):
        paths = []
        for copy in range(size):
            path = folder / ("a" if copy % 2 else "b") / f"g{group} copy{copy}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{group}".encode() * 100 + (b"" if copy < 2 else bytes([copy])))
            os.utime(path, ns=(10**18 + group, 10**18 + copy * 10**9))
            paths.append(path)
        made.append(paths)
    return made


def plan_for(library: list[list[Path]], folder: Path, action: Action) -> Plan:
    steps: list[Step] = []
    for group, paths in enumerate(library):
        for path in paths[1:]:
            number = len(steps)
            keep, remove = file_of(paths[0], group), file_of(path, 1000 + number)
            steps.append(Step(number, group, "same-bytes", keep, remove))
    return Plan("20240101-000000-abc", "default", action, str(folder), "best", "now", steps)


def state_of(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(path.relative_to(folder)): (
            path.read_bytes(),
            path.stat().st_mtime_ns,
            path.stat().st_mode,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    groups=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    action=st.sampled_from(list(Action)),
    spoiled=st.sets(st.integers(0, 12), max_size=3),
)
def test_apply_then_undo_restores_every_byte(
    tmp_path_factory: pytest.TempPathFactory,
    groups: list[int],
    action: Action,
    spoiled: set[int],
) -> None:
    tmp_path = tmp_path_factory.mktemp("library")
    library = make_library(tmp_path / "photos", groups)
    plan = plan_for(library, tmp_path / "trash", action)
    for number in spoiled:  # changed between plan and apply: must not be touched
        if number < len(plan.steps):
            Path(plan.steps[number].remove.path).write_bytes(b"edited since")
    before = state_of(tmp_path / "photos")
    outcome = apply_plan(plan, NoBookkeeper())
    assert len(outcome.done) + len(outcome.skipped) == len(plan.steps)
    assert len(outcome.skipped) == len([n for n in spoiled if n < len(plan.steps)])
    for paths in library:
        assert paths[0].exists()
    if outcome.done:
        back = undo(plan.journal, NoBookkeeper())
        assert not back.skipped
        assert sorted(back.done) == sorted(outcome.done)
        assert undo(plan.journal, NoBookkeeper()).done == []
    assert state_of(tmp_path / "photos") == before


def test_trash_takes_files_away_and_hardlink_puts_links_in_their_place(tmp_path: Path) -> None:
    library = make_library(tmp_path / "photos", [2])
    apply_plan(plan_for(library, tmp_path / "trash", Action.TRASH), NoBookkeeper())
    assert not library[0][1].exists()

    library = make_library(tmp_path / "linked", [3])
    apply_plan(plan_for(library, tmp_path / "trash2", Action.HARDLINK), NoBookkeeper())
    assert library[0][2].samefile(library[0][0])
    assert library[0][1].samefile(library[0][0])


_KILLED = """
import os, signal, sys
from pathlib import Path
from search.duplicates.apply import NoBookkeeper, apply_plan
from search.duplicates.plan import read_plan
left = int(sys.argv[2])
WATCHED = {"os.rename", "os.link", "os.remove", "os.mkdir", "open", "os.truncate", "os.unlink"}
def hook(name, arguments):
    global left
    if name in WATCHED:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
plan = read_plan(Path(sys.argv[1]))
if sys.argv[3] == "far":  # the folder is on another file system: moving is copying and removing
    import errno
    rename = Path.rename
    def far(source, target):
        if Path(target).parent != source.parent:
            raise OSError(errno.EXDEV, "another file system")
        return rename(source, target)
    Path.rename = far
if left: sys.addaudithook(hook)
apply_plan(plan, NoBookkeeper())
"""


def run_killed(plan_path: Path, moment: int, where: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", _KILLED, str(plan_path), str(moment), where],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.slow
@pytest.mark.parametrize("where", ["near", "far"])
@pytest.mark.parametrize("action", [Action.TRASH, Action.HARDLINK])
def test_killed_at_20_random_moments_no_file_is_lost(
    tmp_path: Path, action: Action, where: str
) -> None:
    import random

    moments = random.Random(action.value + where)
    killed = 0
    for attempt in range(10):  # and the other action: 20 near, 20 across file systems
        folder = tmp_path / str(attempt)
        library = make_library(folder / "photos", [3, 2, 4])
        plan = plan_for(library, folder / "trash", action)
        write_plan(plan, folder / "plan.json")
        before = state_of(folder / "photos")
        most = 60 if where == "near" else 120
        moment = moments.randint(1, most)
        killed += run_killed(folder / "plan.json", moment, where) == -signal.SIGKILL
        contents = {entry[0] for entry in state_of(folder).values()}
        assert {entry[0] for entry in before.values()} <= contents
        for paths in library:
            assert paths[0].read_bytes() == before[str(paths[0].relative_to(folder / "photos"))][0]
        if attempt % 2:  # go on after the kill, then back
            assert not apply_plan(read_plan(folder / "plan.json"), NoBookkeeper()).skipped
        if plan.journal.exists() and plan.journal.stat().st_size:
            assert not undo(plan.journal, NoBookkeeper()).skipped
        assert state_of(folder / "photos") == before
    assert killed >= 5


def test_going_on_after_a_half_written_line(tmp_path: Path) -> None:
    library = make_library(tmp_path / "photos", [3])
    plan = plan_for(library, tmp_path / "trash", Action.TRASH)
    apply_plan(plan, NoBookkeeper())
    with plan.journal.open("ab") as file:
        file.write(b'{"step": 1, "don')
    assert len(apply_plan(plan, NoBookkeeper()).done) == 2
    assert len(read_journal(plan.journal).entries) == 2


def test_the_last_copy_is_never_taken(tmp_path: Path) -> None:
    library = make_library(tmp_path / "photos", [2])
    kept, copy = library[0]
    plan = plan_for(library, tmp_path / "trash", Action.TRASH)
    kept.unlink()
    outcome = apply_plan(plan, NoBookkeeper())
    assert outcome.done == []
    assert "has changed or is gone" in outcome.skipped[0][1]
    assert copy.exists()

    kept.symlink_to(copy)  # the kept one is now only another name of the copy
    outcome = apply_plan(plan, NoBookkeeper())
    assert outcome.done == []
    assert copy.exists()


def test_a_symbolic_link_is_no_copy(tmp_path: Path) -> None:
    library = make_library(tmp_path / "photos", [2])
    kept, copy = library[0]
    plan = plan_for(library, tmp_path / "trash", Action.TRASH)
    copy.unlink()
    copy.symlink_to(kept)
    outcome = apply_plan(plan, NoBookkeeper())
    assert outcome.skipped == [(str(copy), "it is a symbolic link, not a copy")]


def test_undo_leaves_a_new_file_in_the_old_place_alone(tmp_path: Path) -> None:
    library = make_library(tmp_path / "photos", [2])
    plan = plan_for(library, tmp_path / "trash", Action.TRASH)
    apply_plan(plan, NoBookkeeper())
    library[0][1].write_bytes(b"something else")
    outcome = undo(plan.journal, NoBookkeeper())
    assert "another file has taken its place" in outcome.skipped[0][1]
    assert library[0][1].read_bytes() == b"something else"
    assert plan.destination(plan.steps[0]).exists()


def test_an_undone_plan_is_not_applied_again(tmp_path: Path) -> None:
    library = make_library(tmp_path / "photos", [2])
    plan = plan_for(library, tmp_path / "trash", Action.TRASH)
    apply_plan(plan, NoBookkeeper())
    undo(plan.journal, NoBookkeeper())
    with pytest.raises(PlanError, match="applied and undone"):
        apply_plan(plan, NoBookkeeper())


def test_a_plan_survives_writing_and_reading(tmp_path: Path) -> None:
    library = make_library(tmp_path / "photos", [2, 3])
    plan = plan_for(library, tmp_path / "trash", Action.MOVE)
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == Plan(
        **{**{f: getattr(plan, f) for f in plan.__slots__}, "steps": tuple(plan.steps)}
    )


def test_a_plan_that_takes_away_what_it_keeps_is_refused(tmp_path: Path) -> None:
    library = make_library(tmp_path / "photos", [3])
    files = [file_of(path, n) for n, path in enumerate(library[0])]
    steps = [
        Step(0, 0, "same-bytes", files[0], files[1]),
        Step(1, 0, "same-bytes", files[1], files[2]),
    ]
    plan = Plan("p", "default", Action.TRASH, str(tmp_path), "best", "now", steps)
    with pytest.raises(PlanError, match="is kept by step 1 and taken away"):
        apply_plan(plan, NoBookkeeper())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "likeness.plan/1"}', "\x00"])
def test_what_is_no_plan_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(PlanError, match=r"plan\.json"):
        read_plan(tmp_path / "plan.json")


def test_a_journal_in_use_is_not_touched(tmp_path: Path) -> None:
    from search.duplicates.journal import open_journal

    library = make_library(tmp_path / "photos", [2])
    plan = plan_for(library, tmp_path / "trash", Action.TRASH)
    with (
        open_journal(plan.journal, {"plan_id": "x"}),
        pytest.raises(PlanError, match="in use by another process"),
    ):
        apply_plan(plan, NoBookkeeper())
