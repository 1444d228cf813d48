"""Indexes for lists of simulations of one type."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_simulations_type_created_id", "simulations", ["type", "created", "id"], unique=False)
    op.create_index(
        "ix_simulations_user_id_type_created_id", "simulations", ["user_id", "type", "created", "id"], unique=False
    )


def downgrade() -> None:
    op.drop_index("ix_simulations_user_id_type_created_id", table_name="simulations")
    op.drop_index("ix_simulations_type_created_id", table_name="simulations")
