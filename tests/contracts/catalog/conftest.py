"""The catalog on SQLite and on PostgreSQL."""

from tests.services.catalogs import catalog, catalog_url

__all__ = ["catalog", "catalog_url"]
