"""Where the next page begins: a position in an answer, sealed to the question it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from dataclasses import dataclass

import numpy as np

from likeness.errors import QueryError
from likeness.types import Embeddings
from search.request import SearchRequest

_REMEDY = "ask for the first page again, without a cursor"


@dataclass(frozen=True, slots=True)
class Cursor:
    """rank: of the last hit shown, from 1. score, image_id: of it; with them the next page is found
    though images were added or removed meanwhile. score is None where the order is not by score
    alone (re-ranked or fused): then the page begins after that rank."""

    rank: int
    score: float | None
    image_id: int
    question: str


def seal(request: SearchRequest, queries: list[Embeddings]) -> str:
    """What makes two requests pages of the same question.

    queries: float32 [d] of each space asked; they stand for the terms.
    """
    asked = hashlib.sha256()
    for query in queries:
        # Rounded: the same picture may be encoded in another batch, on another machine.
        asked.update(np.round(query.astype(np.float64), 3).astype("<f4").tobytes())
    rest = [request.where or "", list(request.rerank), request.candidates, request.fusion]
    rest += [request.max_false, request.keep_queried]
    asked.update(json.dumps(rest).encode())
    return asked.hexdigest()[:16]


def write_cursor(cursor: Cursor) -> str:
    """The cursor as an opaque word for URLs."""
    bits = None if cursor.score is None else struct.pack(">f", cursor.score).hex()
    text = json.dumps([1, cursor.rank, bits, cursor.image_id, cursor.question])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(word: str) -> Cursor:
    """The cursor of a word. Raises QueryError for anything that `write_cursor` did not write."""
    try:
        text = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
        version, rank, bits, image_id, question = json.loads(text)
        score = None if bits is None else struct.unpack(">f", bytes.fromhex(bits))[0]
        if version != 1 or not _whole(rank) or not _whole(image_id) or type(question) is not str:
            raise ValueError("not ours")
    except (ValueError, TypeError, binascii.Error, struct.error, RecursionError) as error:
        raise QueryError(f"the cursor {word[:40]!r} is not one of ours; {_REMEDY}") from error
    return Cursor(rank, score, image_id, question)


def check_cursor(cursor: Cursor, question: str) -> None:
    """Raise QueryError when a cursor belongs to another question."""
    if cursor.question != question:
        raise QueryError(f"the cursor belongs to another question; {_REMEDY}")


def _whole(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63
