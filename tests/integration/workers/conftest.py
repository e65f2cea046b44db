"""Catalogs of every engine for the ledger's tests."""

from tests.services.catalogs import catalog, catalog_url

__all__ = ["catalog", "catalog_url"]
