"""What is known: collections, images, embeddings, in SQL. The only home of SQL."""

from likeness.catalog.catalog import Catalog
from likeness.catalog.serving import schema as _serving_tables  # noqa: F401 - part of the schema
from likeness.catalog.sorting import schema as _sorting_tables  # noqa: F401 - part of the schema

__all__ = ["Catalog"]
