"""Alembic's entry: runs the migrations on the connection that the catalog gives it.

For a developer at the command line there is none, and the database is the one named by
`alembic -x url=…`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from likeness.catalog.engine import make_engine, parse_url, writing
from likeness.catalog.schema import Base


def run(connection: Connection) -> None:
    """Run inside the transaction that is open: all migrations are applied, or none."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = make_engine(parse_url(context.get_x_argument(as_dictionary=True)["url"]))
    with writing(engine) as own:
        run(own)
    engine.dispose()
