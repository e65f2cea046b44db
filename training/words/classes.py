"""What the teacher's classes are called: names, synonyms, glosses, and the words above them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from likeness.errors import SettingsError
from training.words.wordnet import Noun, ancestors

LICENCE = (
    "Derived from WordNet 3.0, Copyright 2006 by Princeton University. All rights reserved. "
    "Used under the WordNet licence, which permits use, copying, modification and distribution "
    "with this notice: https://wordnet.princeton.edu/license-and-commercial-use"
)


@dataclass(frozen=True, slots=True)
class ClassName:
    """One class of the teacher. words: its synonyms, the usual name first."""

    offset: str
    words: tuple[str, ...]
    gloss: str


@dataclass(frozen=True, slots=True)
class WordGroup:
    """A hypernym of several classes. members: their indices."""

    words: tuple[str, ...]
    gloss: str
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ClassTable:
    """classes: in the order of the teacher's outputs. groups: broadest last."""

    classes: tuple[ClassName, ...]
    groups: tuple[WordGroup, ...]

    def save(self, path: Path) -> None:
        """As JSON, with the licence of its source."""
        path.write_text(json.dumps({"licence": LICENCE} | asdict(self), indent=0) + "\n", "utf-8")

    @classmethod
    def load(cls, path: Path) -> ClassTable:
        """What `save` wrote. Raises SettingsError when it cannot be read."""
        try:
            table = json.loads(path.read_text("utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise SettingsError(f"{path}: not a table of class names ({error})") from error
        return cls(
            tuple(ClassName(c["offset"], tuple(c["words"]), c["gloss"]) for c in table["classes"]),
            tuple(
                WordGroup(tuple(g["words"]), g["gloss"], tuple(g["members"]))
                for g in table["groups"]
            ),
        )


def derive_classes(
    names: Sequence[tuple[str, str]], nouns: Mapping[str, Noun], largest: float = 0.5
) -> ClassTable:
    """The table for classes given as (WordNet id such as `n01440764`, usual name).

    Groups are the hypernyms with at least two classes below them and at most the share `largest`
    of all: `entity` says nothing of a photo.
    """
    classes: list[ClassName] = []
    members: dict[str, list[int]] = {}
    for index, (wordnet_id, name) in enumerate(names):
        offset = wordnet_id.removeprefix("n")
        noun = nouns[offset]
        usual = name.replace("_", " ")
        others = [w for w in noun.words if w.lower() != usual.lower()]
        classes.append(ClassName(offset, (usual, *others), noun.gloss))
        for above, _ in ancestors(nouns, offset):
            members.setdefault(above, []).append(index)
    groups = [
        WordGroup(nouns[offset].words, nouns[offset].gloss, tuple(below))
        for offset, below in members.items()
        if 2 <= len(below) <= largest * len(names)
    ]
    return ClassTable(tuple(classes), tuple(sorted(groups, key=lambda g: len(g.members))))
