"""Since when a job has been failing for what may pass, so that it is tried again later each time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("simulations", sa.Column("failing_since", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("simulations", "failing_since")
