"""Work items with leases, duties, and the problems of jobs

Revision 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
READY = sa.text("state = 'ready'")
LEASED = sa.text("state = 'leased'")
OPEN = sa.text("state IN ('waiting', 'ready', 'leased')")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("problems", sa.Text(), nullable=True))
    op.create_table(
        "work_items",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("job_id", BIG_ID, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("hinted_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("tally", sa.Text(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_work_items_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_items")),
        sqlite_autoincrement=True,
    )
    for name, columns, unique, where in (
        ("ix_work_items_ready", ["queue", "priority", "id"], False, READY),
        ("ix_work_items_leased", ["lease_until"], False, LEASED),
        ("ix_work_items_job_id_state_id", ["job_id", "state", "id"], False, None),
        ("uq_work_items_open_key", ["key"], True, OPEN),
    ):
        op.create_index(
            name, "work_items", columns, unique=unique, sqlite_where=where, postgresql_where=where
        )
    op.create_table(
        "duties",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in ("duties", "work_items"):
        op.drop_table(table)
    op.drop_column("jobs", "problems")
