"""Brings the tables up to date: the migrations of `missions/migrations`, run by Alembic."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from habsim.errors import DatabaseError

_FOLDER = Path(__file__).parent / "migrations"
_POSTGRESQL_LOCK = 4_851_236  # any number that nothing else in the database takes


def migrate(engine: Engine) -> None:
    """Run the migrations that are missing, one process at a time. Raises DatabaseError for a newer database."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_POSTGRESQL_LOCK})"))
        if current(connection) == newest:
            return
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseError(f"the database is not one of this version: {error}") from error


def current(connection: Connection) -> str | None:
    """The migration that the database is at; None where it is empty."""
    return MigrationContext.configure(connection).get_current_revision()
