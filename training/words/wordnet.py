"""WordNet's nouns, read from its own database file (`data.noun`; Debian: wordnet-base)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from likeness.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Noun:
    """One synset. offset: its eight digits, ImageNet's WordNet id without the `n`.
    words: synonyms, spaces for underscores. hypernyms: offsets. gloss: definition, no examples."""

    offset: str
    words: tuple[str, ...]
    hypernyms: tuple[str, ...]
    gloss: str


def read_nouns(path: Path) -> dict[str, Noun]:
    """Every noun synset by offset. Raises SettingsError when the file is not there.

    The format is that of WordNet's manual page wndb(5WN).
    """
    if not path.is_file():
        raise SettingsError(
            f"{path}: WordNet's nouns are not there; on Debian: apt-get install wordnet-base"
        )
    nouns: dict[str, Noun] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        facts, _, gloss = line.partition(" | ")
        parts = facts.split()
        count = int(parts[3], 16)
        words = tuple(parts[4 + 2 * i].replace("_", " ") for i in range(count))
        first = 5 + 2 * count
        pointers = range(first, first + 4 * int(parts[first - 1]), 4)
        hypernyms = tuple(parts[i + 1] for i in pointers if parts[i] in ("@", "@i"))
        nouns[parts[0]] = Noun(parts[0], words, hypernyms, gloss.split('; "')[0].strip())
    return nouns


def ancestors(nouns: Mapping[str, Noun], offset: str) -> Iterator[tuple[str, int]]:
    """(offset, steps up) of every hypernym above a synset, nearest first, each once."""
    seen, layer, steps = {offset}, [offset], 0
    while layer:
        steps += 1
        layer = [
            above
            for below in layer
            for above in nouns[below].hypernyms
            if not (above in seen or seen.add(above))  # type: ignore[func-returns-value]
        ]
        for above in layer:
            yield above, steps
