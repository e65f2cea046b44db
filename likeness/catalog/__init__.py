"""What is known: collections, images, embeddings, in SQL. The only home of SQL."""

from likeness.catalog.catalog import Catalog

__all__ = ["Catalog"]
