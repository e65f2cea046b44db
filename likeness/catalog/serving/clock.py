"""The database's clock: the one that all workers agree on, whatever their own say."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Double, cast, func

_UNIX_EPOCH_JULIAN_DAY = 2_440_587.5


def database_now(connection: Connection) -> ColumnElement[float]:
    """Seconds since 1970 as an SQL expression. PostgreSQL: of its host. SQLite: of this host,
    which is the only one that may write to such a file.
    """
    if connection.dialect.name == "sqlite":
        days = func.julianday("now", type_=Double) - _UNIX_EPOCH_JULIAN_DAY
        return days * 86_400.0
    return cast(func.extract("epoch", func.clock_timestamp()), Double)
