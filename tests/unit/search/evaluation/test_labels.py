"""Labelled sets are read rightly, and dangerous or broken files are refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from likeness.errors import SourceError
from search.evaluation.labels import from_folders, from_tsv, read_labels


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_each_image_of_a_class_asks_for_the_others_of_its_class(tmp_path: Path) -> None:
    touch(tmp_path, "cats/a.jpg", "cats/b.JPG", "cats/deep/c.png", "dogs/d.webp", "notes.txt")
    labelled = from_folders(tmp_path)
    names = [image.name for image in labelled.gallery]
    assert sorted(names) == ["a.jpg", "b.JPG", "c.png", "d.webp"]
    assert len(labelled.queries) == 3, "a dog alone asks nothing"
    for query in labelled.queries:
        own = names.index(query.image.name)
        assert query.junk == {own}
        assert {names[i] for i in query.positives} == {"a.jpg", "b.JPG", "c.png"} - {names[own]}


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(SourceError, match="no folder in it holds two images"):
        read_labels(tmp_path)


def test_a_list_names_queries_and_positives(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    lines = tmp_path / "list.tsv"
    lines.write_text("# query\tpositives\na.jpg\tb.jpg\tc.jpg\n\nb.jpg\ta.jpg\n")
    labelled = read_labels(lines)
    assert [len(query.positives) for query in labelled.queries] == [2, 1]
    assert labelled.queries[0].junk == {0}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.jpg\tb.jpg\na.jpg\n", "line 2: it names no positive"),
        ("a.jpg\tz.jpg\n", "line 1: z.jpg is not an image"),
        ("z.jpg\ta.jpg\n", "line 1: z.jpg is not an image"),
        ("\n# nothing\n", "holds no query"),
    ],
)
def test_a_broken_list_is_refused_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "list.tsv").write_text(text)
    with pytest.raises(SourceError, match=reason):
        from_tsv(tmp_path / "list.tsv", tmp_path)


TRUTH = {
    "imlist": ["one", "two", "three", "four"],
    "qimlist": ["ask", "ask2"],
    "gnd": [
        {"bbx": [1.0, 2.0, 30.5, 40.0], "easy": [0], "hard": [2], "junk": [3]},
        {"bbx": [0, 0, 5, 5], "easy": [1], "hard": [], "junk": []},
    ],
}


@pytest.fixture
def truth_images(tmp_path: Path) -> Path:
    touch(tmp_path, *(f"jpg/{name}.jpg" for name in [*TRUTH["imlist"], *TRUTH["qimlist"]]))
    return tmp_path


def write_truth(folder: Path, kind: str) -> Path:
    path = folder / f"gnd_test.{kind}"
    if kind == "json":
        path.write_text(json.dumps(TRUTH))
        return path
    arrays = dict(TRUTH)
    arrays["gnd"] = [
        {
            **entry,
            "easy": np.array(entry["easy"], dtype=np.int64),
            "hard": [np.int32(number) for number in entry["hard"]],
        }
        for entry in TRUTH["gnd"]
    ]
    path.write_bytes(pickle.dumps(arrays, protocol=2))
    return path


@pytest.mark.parametrize("kind", ["json", "pkl"])
@pytest.mark.parametrize(
    ("protocol", "positives", "junk"),
    [("easy", {0}, {2, 3}), ("medium", {0, 2}, {3}), ("hard", {2}, {0, 3})],
)
def test_the_three_protocols_of_revisited_oxford(
    truth_images: Path, kind: str, protocol: str, positives: set[int], junk: set[int]
) -> None:
    labelled = read_labels(write_truth(truth_images, kind), protocol=protocol)
    assert labelled.trapezoid
    first = labelled.queries[0]
    assert (first.positives, first.junk) == (positives, junk)
    assert first.box == (1.0, 2.0, 30.5, 40.0)
    assert len(labelled.queries) == (1 if protocol == "hard" else 2), "no positive, no query"


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_wants_to_run_something_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    fired = tmp_path / "fired"
    (tmp_path / "gnd_evil.pkl").write_bytes(pickle.dumps({"imlist": [_Bomb(fired)]}))
    with pytest.raises(SourceError, match="which labels do not need"):
        read_labels(tmp_path / "gnd_evil.pkl")
    assert not fired.exists()


def test_a_pickle_of_objects_in_an_array_is_refused(tmp_path: Path) -> None:
    array = np.array([Path("x")], dtype=object)
    (tmp_path / "gnd.pkl").write_bytes(pickle.dumps({"imlist": array}))
    with pytest.raises(SourceError, match=r"labels do not need|not of numbers"):
        read_labels(tmp_path / "gnd.pkl")


@pytest.mark.parametrize("data", [b"", b"\x80\x02.", b"garbage", b"\x80\x04K\x01."])
def test_a_broken_pickle_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "gnd.pkl").write_bytes(data)
    with pytest.raises(SourceError, match="no ground truth"):
        read_labels(tmp_path / "gnd.pkl")


def test_labels_beyond_the_gallery_and_names_outside_the_folder_are_refused(
    truth_images: Path,
) -> None:
    path = truth_images / "gnd.json"
    path.write_text(json.dumps({**TRUTH, "imlist": ["one"]}))
    with pytest.raises(SourceError, match="beyond its list of 1"):
        read_labels(path)
    path.write_text(json.dumps({**TRUTH, "imlist": ["../../etc/passwd", "a", "b", "c"]}))
    with pytest.raises(SourceError, match="points out of"):
        read_labels(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(SourceError, match="no labelled set"):
        read_labels(tmp_path / "a.csv")
