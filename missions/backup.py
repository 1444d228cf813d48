"""A copy of the SQLite file, taken while others read and write it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import sharedfiles
from habsim.errors import ConflictError, DatabaseError
from missions.database import BUSY_SECONDS, Database


def back_up(database: Database, target: Path) -> int:
    """Copy the database to `target`, as it is at one moment; the bytes of the copy, which was checked.

    Raises ConflictError for PostgreSQL, which has tools of its own, DatabaseError when it cannot be read or written.
    """
    if database.path is None:
        raise ConflictError("the database is on PostgreSQL; take `pg_dump` for it")
    if not database.path.exists():
        raise DatabaseError(f"there is no database at {database.path}")
    if not target.parent.is_dir():
        raise DatabaseError(f"{target} cannot be written: there is no folder {target.parent}")
    try:
        with sharedfiles.replacing(target) as temporary:
            with (
                contextlib.closing(
                    sqlite3.connect(f"file:{database.path.resolve()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
                ) as source,
                contextlib.closing(sqlite3.connect(temporary)) as copy,
            ):
                source.backup(copy)
                # One file, without a log beside it.
                copy.execute("PRAGMA journal_mode = DELETE")
                (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                raise DatabaseError(f"the copy is damaged: {verdict}")
            temporary.chmod(0o600)
        return target.stat().st_size
    except sqlite3.Error as error:
        raise DatabaseError(f"{database.path} cannot be copied: {error}") from error
    except OSError as error:
        raise DatabaseError(f"{target} cannot be written: {error.strerror}") from error
