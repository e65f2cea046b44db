"""What a database driver's error means for the user, and what mends it."""

from __future__ import annotations

from sqlalchemy import URL

from likeness.errors import CatalogError, CatalogUnavailable

# SQLSTATE classes and codes of PostgreSQL after which nothing was written and trying again may
# help: connection exceptions, a writer that was silent for too long, rolled-back transactions, too
# many connections, shutdowns.
_PASSING = ("08", "25P03", "40", "53300", "57P")


def explain(error: BaseException, url: URL) -> CatalogError:
    """Return our error for one of sqlite3 or psycopg; it shows the URL without its password."""
    where, said = url.render_as_string(), str(error).strip()
    lower = said.lower()
    if "is locked" in lower:
        return CatalogUnavailable(
            f"{where} stayed locked by another process ({said}); wait until it has finished, then "
            "run again"
        )
    if "disk is full" in lower or "no space left" in lower:
        return CatalogError(f"{where}: the disk is full; free some space, then run again")
    if "not a database" in lower or "malformed" in lower:
        return CatalogError(
            f"{where} is damaged or is no catalog ({said}); restore a backup, or name another file"
        )
    if "readonly" in lower or "unable to open" in lower:
        return CatalogError(f"{where} cannot be opened for writing ({said}); check its permissions")
    if type(error).__module__.startswith("psycopg") and _is_passing(error):
        return CatalogUnavailable(
            f"{where} cannot be reached now ({said}); check that the server runs and that the URL "
            "is right, then run again"
        )
    return CatalogError(f"{where}: {said}")


def _is_passing(error: BaseException) -> bool:
    state: str | None = getattr(error, "sqlstate", None)
    if state is None:  # the connection broke, or never came about
        return any(cls.__name__ == "OperationalError" for cls in type(error).__mro__)
    return state.startswith(_PASSING)
