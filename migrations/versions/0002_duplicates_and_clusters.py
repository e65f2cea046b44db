"""Duplicates and clusters

Revision 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _belongs_to(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{parent}.id"], name=op.f(f"fk_{table}_{column}_{parent}"), ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "not_duplicates",
        sa.Column("first", sa.LargeBinary(), nullable=False),
        sa.Column("second", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("first", "second", name=op.f("pk_not_duplicates")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "calibrations",
        sa.Column("space_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        _belongs_to("calibrations", "space_id", "spaces"),
        sa.PrimaryKeyConstraint("space_id", name=op.f("pk_calibrations")),
    )
    op.create_table(
        "undo_journals",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("applied_at", sa.DateTime(), nullable=False),
        sa.Column("undone_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_undo_journals")),
        sa.UniqueConstraint("plan_id", name=op.f("uq_undo_journals_plan_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "cluster_runs",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("collection_id", BIG_ID, nullable=False),
        sa.Column("space_id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        _belongs_to("cluster_runs", "collection_id", "collections"),
        _belongs_to("cluster_runs", "space_id", "spaces"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cluster_runs")),
        sa.UniqueConstraint(
            "collection_id", "name", name=op.f("uq_cluster_runs_collection_id_name")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "clusters",
        sa.Column("run_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("named_by_user", sa.Boolean(), nullable=False),
        sa.Column("cover_id", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("coherence", sa.Double(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("centroid", sa.LargeBinary(), nullable=False),
        _belongs_to("clusters", "run_id", "cluster_runs"),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_clusters")),
    )
    op.create_table(
        "cluster_members",
        sa.Column("run_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("image_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("typicality", sa.Double(), nullable=False),
        _belongs_to("cluster_members", "run_id", "cluster_runs"),
        sa.PrimaryKeyConstraint("run_id", "image_id", name=op.f("pk_cluster_members")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_cluster_members_run_id_number",
        "cluster_members",
        ["run_id", "number", "typicality"],
        unique=False,
    )
    op.create_table(
        "cluster_choices",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("run_id", BIG_ID, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        _belongs_to("cluster_choices", "run_id", "cluster_runs"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cluster_choices")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_cluster_choices_run_id", "cluster_choices", ["run_id"], unique=False)


def downgrade() -> None:
    for table in (
        "cluster_choices",
        "cluster_members",
        "clusters",
        "cluster_runs",
        "undo_journals",
        "calibrations",
        "not_duplicates",
    ):
        op.drop_table(table)
