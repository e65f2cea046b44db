"""Words → unit vectors with one table look-up per word piece: the text tower of `likeness:tiny`.

A sentence is the sum of its pieces' vectors, which carry their own weights as lengths, as in
model2vec (Tulkens & van Dongen 2024). No matrix product, so a query costs microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from likeness.types import Embeddings

UNKNOWN = "[UNK]"


class TextTower:
    """A table of word pieces.

    pieces: [v] in the order of `table`, continuations with a leading `##`; the first is
    `[UNK]`, whose vector is zero. table: int8 [v, d]. scales: float32 [v]; the vector of piece i
    is scales[i] * table[i].
    """

    def __init__(
        self,
        pieces: Sequence[str],
        table: npt.NDArray[np.int8],
        scales: npt.NDArray[np.float32],
    ) -> None:
        if len(pieces) != len(table) or len(pieces) != len(scales):
            raise ValueError(
                f"{len(pieces)} word pieces, {len(table)} vectors and {len(scales)} scales "
                "do not belong together"
            )
        self._tokenizer = piece_tokenizer({piece: i for i, piece in enumerate(pieces)})
        self._table, self._scales = table, scales

    @property
    def dim(self) -> int:
        return int(self._table.shape[1])

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """float32 [n, d], L2 norm 1, in input order.

        A text of which no piece is known (empty, or in a script that the table lacks) gets the
        vector that is equally far from everything the table knows: all entries equal.
        """
        out = np.empty((len(texts), self.dim), np.float32)
        for row, encoded in zip(out, self._tokenizer.encode_batch(list(texts)), strict=True):
            ids = np.asarray(encoded.ids, np.int64)
            row[:] = self._scales[ids] @ self._table[ids].astype(np.float32)
            norm = float(np.linalg.norm(row))
            row[:] = row / norm if norm > 0 else self.dim**-0.5
        return out


def piece_tokenizer(vocabulary: Mapping[str, int]) -> Tokenizer:
    """BERT's uncased word pieces over this vocabulary: lower case, accents stripped."""
    tokenizer = Tokenizer(WordPiece(dict(vocabulary), unk_token=UNKNOWN))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


def quantise(
    vectors: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """float32 [v, d] as (int8 [v, d], scales float32 [v]), symmetric per row."""
    scales = np.abs(vectors).max(axis=1) / 127.0
    safe = np.where(scales > 0, scales, 1.0)
    table = np.rint(vectors / safe[:, None]).astype(np.int8)
    return table, scales.astype(np.float16).astype(np.float32)
