"""What Alembic runs: the migrations on the connection that it is given."""

from __future__ import annotations

from alembic import context

from missions.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
)
context.run_migrations()
