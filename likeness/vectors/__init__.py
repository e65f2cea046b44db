"""Nearest vectors: an exact scan, immutable snapshots on disk, and the tail beside them.

Knows image ids and float16 vectors; no SQL, no images, no encoders. The only home of FAISS.

- `validate`: what is refused at the door.
- `idset`: sets of image ids, the one way to say "only these" or "not those".
- `index`: the interface that every kind of index has, and merging the answers of two.
- `exact`: the exact kind; `halfscan` under it is FAISS's scan over an array that it does not copy.
- `scoring`: the one place where a score is computed.
- `tail`: what a snapshot does not cover yet.
- `manifest`, `files`, `snapshot`: indexes on disk that are whole or refused.
"""
