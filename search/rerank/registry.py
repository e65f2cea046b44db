"""The re-rankers by name, and chains of them (`qe,kreciprocal`)."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from likeness.errors import QueryError
from search.rerank.diffusion import Diffusion
from search.rerank.diversity import Diversity
from search.rerank.expansion import DatabaseAugmentation, QueryExpansion
from search.rerank.interface import Context, Reranker, Shortlist
from search.rerank.patches import PatchVerification
from search.rerank.reciprocal import KReciprocal


@dataclass(frozen=True, slots=True)
class RerankerRecord:
    """name: what `--rerank` takes. title: for people. paper: authors, title, venue.
    needs_pixels: whether candidates' patch tokens are needed, and so their pixels."""

    name: str
    title: str
    paper: str
    reranker: Reranker
    needs_pixels: bool = False


RERANKERS: tuple[RerankerRecord, ...] = (
    RerankerRecord(
        "qe",
        "query expansion (αQE)",
        "Radenović, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation, 2018",
        QueryExpansion(),
    ),
    RerankerRecord(
        "dba",
        "database-side augmentation",
        "Gordo, Almazán, Revaud, Larlus: End-to-end Learning of Deep Visual Representations, 2017",
        DatabaseAugmentation(),
    ),
    RerankerRecord(
        "kreciprocal",
        "k-reciprocal encoding",
        "Zhong, Zheng, Cao, Li: Re-ranking Person Re-identification with k-reciprocal Encoding, "
        "2017",
        KReciprocal(),
    ),
    RerankerRecord(
        "diffusion",
        "diffusion on the neighbour graph",
        "Iscen, Tolias, Avrithis, Furon, Chum: Efficient Diffusion on Region Manifolds, 2017",
        Diffusion(),
    ),
    RerankerRecord(
        "patches",
        "patch matching with geometric verification",
        "Philbin, Chum, Isard, Sivic, Zisserman: Object Retrieval with Large Vocabularies and Fast "
        "Spatial Matching, 2007, on the patch tokens of a Vision Transformer",
        PatchVerification(),
        needs_pixels=True,
    ),
    RerankerRecord(
        "mmr",
        "diversity (maximal marginal relevance)",
        "Carbonell, Goldstein: The Use of MMR, Diversity-Based Reranking, 1998",
        Diversity(),
    ),
)
_BY_NAME = {record.name: record for record in RERANKERS}


def find_reranker(name: str) -> RerankerRecord:
    """The re-ranker of this name. Raises QueryError with the names there are."""
    try:
        return _BY_NAME[name]
    except KeyError:
        close = difflib.get_close_matches(name, _BY_NAME, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise QueryError(
            f"there is no re-ranker {name!r}{hint} There are: {', '.join(_BY_NAME)}"
        ) from None


def parse_chain(text: str) -> tuple[str, ...]:
    """Names of a chain as written, `qe,kreciprocal`; `none` and nothing are the empty chain.

    Raises QueryError for an unknown name and for one that comes twice.
    """
    names = tuple(part for part in (part.strip() for part in text.split(",")) if part)
    if names == ("none",):
        return ()
    for name in names:
        find_reranker(name)
    if len(set(names)) < len(names):
        raise QueryError(f"a re-ranker comes twice in {text!r}; name each once")
    return names


def needs_pixels(names: Sequence[str]) -> bool:
    """Whether a chain looks at the candidates' pixels."""
    return any(find_reranker(name).needs_pixels for name in names)


def rerank(candidates: Shortlist, names: Sequence[str], context: Context) -> Shortlist:
    """Apply the named re-rankers one after another; no names, no change."""
    for name in names:
        candidates = find_reranker(name).reranker(candidates, context)
    return candidates
