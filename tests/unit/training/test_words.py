from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from likeness.encoders.tiny.text import UNKNOWN
from likeness.errors import SettingsError
from training.words.align import AlignConfig, Aligner, AlignPhotos, Sentences, membership
from training.words.classes import ClassName, ClassTable, WordGroup, derive_classes
from training.words.text_table import (
    Reduction,
    TextTable,
    choose_pieces,
    first_table,
    fit_table,
)
from training.words.wordnet import ancestors, read_nouns

# Lines in the format of wndb(5WN), shortened: offset, file, type, words, pointers, gloss.
DATA_NOUN = """  1 a comment of the licence
00000001 03 n 01 thing 0 000 | whatever exists; "a strange thing"
00000002 05 n 02 animal 0 living_beast 0 001 @ 00000001 n 0000 | it moves
00000003 05 n 01 dog 0 001 @ 00000002 n 0000 | it barks
00000004 05 n 02 cat 0 house_cat 0 002 @ 00000002 n 0000 #m 00000003 n 0000 | it meows
00000005 06 n 01 cup 0 001 @ 00000001 n 0000 | one drinks from it
"""


@pytest.fixture
def data_noun(tmp_path: Path) -> Path:
    path = tmp_path / "data.noun"
    path.write_text(DATA_NOUN, "utf-8")
    return path


def test_nouns_are_read_with_synonyms_hypernyms_and_gloss(data_noun: Path) -> None:
    nouns = read_nouns(data_noun)
    assert len(nouns) == 5
    assert nouns["00000004"].words == ("cat", "house cat")
    assert nouns["00000004"].hypernyms == ("00000002",)
    assert nouns["00000001"].gloss == "whatever exists"
    assert list(ancestors(nouns, "00000003")) == [("00000002", 1), ("00000001", 2)]


def test_a_missing_wordnet_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="wordnet-base"):
        read_nouns(tmp_path / "absent")


def test_groups_are_the_words_above_at_least_two_classes_but_not_above_most(
    data_noun: Path, tmp_path: Path
) -> None:
    names = [("n00000003", "dog"), ("n00000004", "house_cat"), ("n00000005", "cup")]
    table = derive_classes(names, read_nouns(data_noun), largest=0.7)
    assert [c.words for c in table.classes] == [("dog",), ("house cat", "cat"), ("cup",)]
    assert table.groups == (WordGroup(("animal", "living beast"), "it moves", (0, 1)),)
    table.save(tmp_path / "classes.json")
    assert ClassTable.load(tmp_path / "classes.json") == table
    assert "WordNet" in (tmp_path / "classes.json").read_text()


def test_membership_marks_each_class_of_a_group() -> None:
    groups = (WordGroup(("a",), "", (0, 2)), WordGroup(("b",), "", (1,)))
    assert membership(groups, 3).tolist() == [[1, 0], [0, 1], [1, 0]]


def test_pieces_of_other_scripts_punctuation_and_unused_places_are_left_out() -> None:
    vocabulary = ["[PAD]", "[unused1]", "[UNK]", "!", "dog", "##s", "й", "a1", "é"]
    assert choose_pieces(vocabulary) == [UNKNOWN, "dog", "##s", "a1"]


def test_a_reduction_keeps_what_lies_in_its_axes() -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(200, 4, generator=generator)
    axes = torch.linalg.qr(torch.randn(12, 4, generator=generator)).Q
    vectors = low @ axes.T + 3.0
    reduced = Reduction.fit(vectors, 4)(vectors)
    wanted = functional.normalize(low - low.mean(0), dim=-1)
    assert torch.allclose(reduced @ reduced.T, wanted @ wanted.T, atol=1e-4)


def test_a_fitted_table_points_where_the_large_tower_points() -> None:
    generator = torch.Generator().manual_seed(0)
    words = [chr(97 + i) * 2 for i in range(20)]
    own = torch.randn(21, 16, generator=generator)
    table = first_table([UNKNOWN, *words], own, Reduction.fit(own, 8))
    texts = [f"{a} {b}" for a in words for b in words]
    hidden = torch.randn(20, 8, generator=generator)
    targets = functional.normalize(
        torch.stack([hidden[i] + hidden[j] for i in range(20) for j in range(20)]), dim=-1
    )
    with torch.no_grad():
        before = float((table.embed(texts) * targets).sum(-1).mean())
    fit_table(table, texts, targets, lambda _: None, epochs=40, batch=50, learning_rate=2e-2)
    with torch.no_grad():
        after = float((table.embed(texts) * targets).sum(-1).mean())
        assert not table.bag.weight[0].any()
    assert before < 0.5
    assert after > 0.95


def test_alignment_brings_photos_to_their_captions_and_classes() -> None:
    """Photos of four classes, separable in their features; half of them captioned."""
    generator = torch.Generator().manual_seed(1)
    names = ("dog", "cat", "cup", "car")
    classes = ClassTable(
        tuple(ClassName(str(i), (n,), n) for i, n in enumerate(names)),
        (WordGroup(("animal",), "", (0, 1)), WordGroup(("thing",), "", (2, 3))),
    )
    pieces = [UNKNOWN, *names, "animal", "thing", "a", "the", "photo", "of", "picture"]
    vectors = torch.randn(len(pieces), 16, generator=generator)
    vectors[0] = 0
    table = TextTable(pieces, vectors)
    kinds = torch.arange(80) % 4
    pooled = torch.randn(4, 24, generator=generator)[kinds]
    pooled = pooled + 0.1 * torch.randn(80, 24, generator=generator)
    certain = functional.one_hot(kinds, 4).float() * 0.9 + 0.025
    captions = [(f"a {names[int(k)]}",) if i % 2 else () for i, k in enumerate(kinds)]
    with torch.no_grad():
        targets = table.embed(list(names))
    config = AlignConfig(hidden=16, steps=120, captioned_batch=16, photo_batch=32)
    aligned = Aligner(
        AlignPhotos(pooled, certain, certain, captions),
        classes,
        table,
        Sentences(list(names), targets),
        config,
    ).fit(lambda _: None)
    with torch.no_grad():
        images = functional.normalize(aligned.projection(pooled), dim=-1)
        images = functional.normalize(images + certain @ aligned.class_words, dim=-1)
        found = (images @ table.embed(list(names)).T).argmax(1)
        animal = table.embed(["animal"]) @ images.T
    assert float((found == kinds).float().mean()) > 0.95
    assert set(kinds[animal[0].topk(40).indices].tolist()) == {0, 1}
