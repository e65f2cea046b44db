"""The first tables

Revision 0001, the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
LIVE = sa.text("state <> 'gone'")
CURRENT = sa.text("state = 'current'")


def upgrade() -> None:
    op.create_table(
        "collections",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
        sa.UniqueConstraint("name", name=op.f("uq_collections_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "images",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("collection_id", BIG_ID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("uri", BYTEWISE, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("path_folded", BYTEWISE, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("added_at", sa.DateTime(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("format", sa.Text(), nullable=True),
        sa.Column("taken_at", sa.DateTime(), nullable=True),
        sa.Column("camera_make", sa.Text(), nullable=True),
        sa.Column("camera_model", sa.Text(), nullable=True),
        sa.Column("lens", sa.Text(), nullable=True),
        sa.Column("make_folded", BYTEWISE, nullable=True),
        sa.Column("model_folded", BYTEWISE, nullable=True),
        sa.Column("camera_folded", BYTEWISE, nullable=True),
        sa.Column("lens_folded", BYTEWISE, nullable=True),
        sa.Column("latitude", sa.Double(), nullable=True),
        sa.Column("longitude", sa.Double(), nullable=True),
        sa.Column("perceptual_hash", sa.LargeBinary(), nullable=True),
        sa.Column("perceptual_hash_quality", sa.SmallInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name=op.f("fk_images_collection_id_collections")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint(
            "collection_id", "uri", "sha256", name=op.f("uq_images_collection_id_uri_sha256")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_images_collection_id_revision", "images", ["collection_id", "revision"], unique=False
    )
    op.create_index(
        "ix_images_collection_id_sha256", "images", ["collection_id", "sha256"], unique=False
    )
    op.create_index(
        "ix_images_collection_id_state_id", "images", ["collection_id", "state", "id"], unique=False
    )
    op.create_index(
        "ix_images_collection_id_taken_at", "images", ["collection_id", "taken_at"], unique=False
    )
    op.create_index(
        "uq_images_live_uri",
        "images",
        ["collection_id", "uri"],
        unique=True,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )

    op.create_table(
        "spaces",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("collection_id", BIG_ID, nullable=False),
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("towers", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name=op.f("fk_spaces_collection_id_collections")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spaces")),
        sa.UniqueConstraint(
            "collection_id", "fingerprint", name=op.f("uq_spaces_collection_id_fingerprint")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "chunks",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("space_id", BIG_ID, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("vectors", sa.Integer(), nullable=False),
        sa.Column("checksum", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"], ["spaces.id"], name=op.f("fk_chunks_space_id_spaces")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chunks")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chunks_space_id_revision", "chunks", ["space_id", "revision"], unique=False)

    op.create_table(
        "image_fields",
        sa.Column("image_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_folded", BYTEWISE, nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.Column("is_number", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_image_fields_image_id_images")
        ),
        sa.PrimaryKeyConstraint("image_id", "name", name=op.f("pk_image_fields")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_image_fields_name_number", "image_fields", ["name", "number"], unique=False)

    op.create_table(
        "image_tags",
        sa.Column("image_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("tag", BYTEWISE, nullable=False),
        sa.Column("tag_folded", BYTEWISE, nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_image_tags_image_id_images")
        ),
        sa.PrimaryKeyConstraint("image_id", "tag", name=op.f("pk_image_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_image_tags_tag_folded", "image_tags", ["tag_folded", "image_id"], unique=False
    )

    op.create_table(
        "snapshots",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("space_id", BIG_ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["space_id"], ["spaces.id"], name=op.f("fk_snapshots_space_id_spaces")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
        sa.UniqueConstraint("space_id", "name", name=op.f("uq_snapshots_space_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_snapshots_current",
        "snapshots",
        ["space_id"],
        unique=True,
        sqlite_where=CURRENT,
        postgresql_where=CURRENT,
    )

    op.create_table(
        "embeddings",
        sa.Column("space_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("image_id", BIG_ID, autoincrement=False, nullable=False),
        sa.Column("chunk_id", BIG_ID, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chunk_id"], ["chunks.id"], name=op.f("fk_embeddings_chunk_id_chunks")
        ),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name=op.f("fk_embeddings_image_id_images")
        ),
        sa.ForeignKeyConstraint(
            ["space_id"], ["spaces.id"], name=op.f("fk_embeddings_space_id_spaces")
        ),
        sa.PrimaryKeyConstraint("space_id", "image_id", name=op.f("pk_embeddings")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_embeddings_chunk_id", "embeddings", ["chunk_id"], unique=False)
    op.create_index("ix_embeddings_image_id", "embeddings", ["image_id"], unique=False)
    op.create_index(
        "ix_embeddings_space_id_revision", "embeddings", ["space_id", "revision"], unique=False
    )
    if op.get_bind().dialect.name == "postgresql":
        # float16 vectors do not compress; trying to costs more than writing them
        op.execute("ALTER TABLE chunks ALTER COLUMN data SET STORAGE EXTERNAL")


def downgrade() -> None:
    for table in (
        "embeddings",
        "snapshots",
        "image_tags",
        "image_fields",
        "chunks",
        "spaces",
        "images",
        "meta",
        "collections",
    ):
        op.drop_table(table)
