"""From a distilled student to one that answers words."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from likeness.encoders.tiny.network import TinyNetwork
from likeness.errors import SettingsError
from training.config import DistillConfig, WordsConfig
from training.photos import Photo, find_photos, readable
from training.progress import Report
from training.publish import TextParts, with_text_head
from training.words.align import AlignConfig, Aligner, AlignPhotos, Sentences
from training.words.classes import ClassName, ClassTable, WordGroup
from training.words.features import student_pooled
from training.words.minilm import MiniLm
from training.words.refine import RefineConfig, refine
from training.words.text_table import (
    Reduction,
    TextTable,
    choose_pieces,
    first_table,
    fit_table,
)
from training.words.wordnet import read_nouns


def teach_words(
    network: TinyNetwork, config: DistillConfig, *, crop_pct: float, report: Report
) -> tuple[TinyNetwork, TextParts]:
    """The student with a projection to a text space, and the tower of that space.

    Sentence vectors and the fitted table are kept in `config.output` and used again.
    Raises SettingsError when the run has no `words` section, or names files that are not there.
    """
    words = config.words
    if words is None:
        raise SettingsError("the run's configuration has no [words] section")
    classes = ClassTable.load(words.classes)
    if len(classes.classes) != network.config.classes:
        raise SettingsError(
            f"{words.classes} names {len(classes.classes)} classes, the teacher knows "
            f"{network.config.classes}"
        )
    found = find_photos(config.data.photos, config.data.exclude)
    photos = [photo for photo, _ in readable(found)]
    table, sentences = text_table(words, classes, photos, config.output, report)
    seen = locked_features(network, photos, words.views, crop_pct, config.data.workers, report)
    aligned = Aligner(
        seen, classes, table, sentences, AlignConfig(steps=words.steps, seed=words.seed)
    ).fit(report)
    refine(aligned, seen, table, list(sentences.texts), RefineConfig(seed=words.seed), report)
    return with_text_head(network, aligned.projection), TextParts(table, aligned.class_words)


def text_table(
    config: WordsConfig,
    classes: ClassTable,
    photos: Sequence[Photo],
    folder: Path,
    report: Report,
) -> tuple[TextTable, Sentences]:
    """The small text tower, fitted to the large one's vectors of captions, names and glosses."""
    texts = corpus(config, classes, photos)
    large = _SentenceCache(config.language_model, folder / "sentences.safetensors", report)
    vectors = large.embed(texts)
    vocabulary = (config.language_model / "vocab.txt").read_text("utf-8").splitlines()
    pieces = choose_pieces(vocabulary)
    own = large.embed([p.removeprefix("##") for p in pieces])
    reduction = Reduction.fit(vectors, config.dim)
    targets = reduction(vectors)
    table = first_table(pieces, own, reduction)
    key = hashlib.sha256("\n".join((*texts, str(config.table_epochs))).encode()).hexdigest()[:16]
    fitted = folder / f"text-table-{key}.safetensors"
    if fitted.is_file():
        table = TextTable(pieces, load_file(fitted)["table"])
    else:
        fit_table(table, texts, targets, report, epochs=config.table_epochs, seed=config.seed)
        save_file({"table": table.bag.weight.detach().clone()}, fitted)
    return table, Sentences(texts, targets)


def corpus(config: WordsConfig, classes: ClassTable, photos: Sequence[Photo]) -> list[str]:
    """Names and glosses of classes and the words above them, captions, and a sample of WordNet."""
    named: list[ClassName | WordGroup] = [*classes.classes, *classes.groups]
    texts = sorted({word for thing in named for word in thing.words})
    texts += [thing.gloss for thing in named]
    texts += [caption for photo in photos for caption in photo.captions]
    if config.general_texts:
        nouns = read_nouns(config.wordnet)
        compounds = sorted({w for noun in nouns.values() for w in noun.words if " " in w})
        glosses = [noun.gloss for noun in nouns.values()]
        rng = random.Random(config.seed)
        rng.shuffle(compounds)
        rng.shuffle(glosses)
        texts += compounds[: config.general_texts * 5 // 9]
        texts += glosses[: config.general_texts * 4 // 9]
    return texts


def locked_features(
    network: TinyNetwork,
    photos: Sequence[Photo],
    views: int,
    crop_pct: float,
    workers: int,
    report: Report,
) -> AlignPhotos:
    """Features and class probabilities: `views` of captioned photos, one of the others."""
    captioned = [p for p in photos if p.captions]
    others = [p for p in photos if not p.captions]
    parts: list[Tensor] = []
    if captioned:
        parts += student_pooled(
            network, captioned, views=views, crop_pct=crop_pct, workers=workers, report=report
        )
    if others:
        parts += student_pooled(
            network, others, views=1, crop_pct=crop_pct, workers=workers, report=report
        )
    pooled = torch.cat(list(parts)).float()
    head = network.backbone.head
    width = pooled.shape[1] // 2
    own = (pooled[:, :width] @ head.weight.float().T + head.bias.float()).softmax(-1)
    captions = [p.captions for p in captioned] * views + [()] * len(others)
    return AlignPhotos(pooled, own, own, captions)


class _SentenceCache:
    """The large tower's vectors, kept on disk by the text's hash: they take minutes to compute."""

    def __init__(self, model: Path, file: Path, report: Report) -> None:
        self._model, self._file, self._report = model, file, report
        self._known: dict[str, Tensor] = {}
        if file.is_file():
            stored = load_file(file)
            keys = bytes(stored["keys"].numpy().tobytes()).decode().split("\n")
            self._known = dict(zip(keys, stored["vectors"].float(), strict=True))

    def embed(self, texts: Sequence[str]) -> Tensor:
        keys = [hashlib.sha256(t.encode()).hexdigest()[:24] for t in texts]
        new = {k: t for k, t in zip(keys, texts, strict=True) if k not in self._known}
        if new:
            self._report(f"sentence vectors of {len(new)} texts by the large text tower")
            vectors = MiniLm(self._model).embed(list(new.values()))
            self._known.update(zip(new, vectors, strict=True))
            self._file.parent.mkdir(parents=True, exist_ok=True)
            packed = torch.frombuffer(bytearray("\n".join(self._known).encode()), dtype=torch.uint8)
            stacked = torch.stack(list(self._known.values())).half()
            save_file({"keys": packed, "vectors": stacked}, self._file)
        return torch.stack([self._known[k] for k in keys])
