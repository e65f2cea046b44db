"""The filter language of `--where`: text → a tree (no SQL here) → a condition (`sql.py`).

`docs/where.md` is its reference; every example there is parsed by a test.
"""

from likeness.catalog.where.parse import parse_where
from likeness.catalog.where.tree import Where

__all__ = ["Where", "parse_where"]
