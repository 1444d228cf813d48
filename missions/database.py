"""The database: SQLite in the data folder, or PostgreSQL by `DATABASE_URL`.

A block of `writing` is one transaction that sees what it will change: SQLite lets one writer in at a time, which waits
for its turn at the start and never fails in the middle. Blocks of `reading` wait for nobody. A connection that was
lost is made anew; what fails raises DatabaseError, and nothing of the block is kept.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Double, Engine, create_engine, event, exc, inspect, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.functions import FunctionElement

import sharedfiles
from habsim.errors import ConflictError, DatabaseError
from missions.models import NEWEST_MIGRATION
from settings import Settings

FILE = "missions.sqlite"
BUSY_SECONDS = 10.0  # how long a writer waits for its turn
_MIGRATION_SECONDS = 120.0
_JOURNAL_BYTES = 16 * 2**20  # that SQLite keeps of its journal
_PAGES_AT_A_TIME = 2000  # given back while writers wait: 8 MB
_OLDEST_SQLITE = (3, 35, 0)  # the first with RETURNING
_READING = "habsim_reading"
_INODE = "habsim_inode"


class now_seconds(FunctionElement[float]):  # noqa: N801  (it is a function of SQL)
    """The database's clock, Unix seconds: the one clock that all machines share."""

    type = Double()
    inherit_cache = True


@compiles(now_seconds, "sqlite")
def _sqlite_now(_element: now_seconds, _compiler: Any, **_more: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now_seconds, "postgresql")
def _postgresql_now(_element: now_seconds, _compiler: Any, **_more: Any) -> str:
    return "extract(epoch FROM statement_timestamp())::double precision"


def insert_if_absent(session: Session, model: type[DeclarativeBase], **values: Any) -> bool:
    """Insert a row unless there is one with its key; whether it was inserted."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(model).values(**values).on_conflict_do_nothing().returning(*inspect(model).primary_key)
    return session.execute(statement).first() is not None


class Database:
    """The engine of a process and its sessions. Its tables are brought up to date when it is first used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.path = None if settings.database_url is not None else settings.data_dir / FILE
        # Protects the engine while it is made, once in each process.
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._sessions: sessionmaker[Session] | None = None
        self._process = os.getpid()

    @property
    def is_shared(self) -> bool:
        """Whether other machines can have it too."""
        return self.path is None

    def __str__(self) -> str:
        return str(self.path or _url(self._settings).render_as_string(hide_password=True))

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state and changes nothing. Raises DatabaseError."""
        with self._translated(), self._ready()() as session:
            options = {} if self.path is not None else {"isolation_level": "REPEATABLE READ"}
            session.connection(execution_options={_READING: True, **options})
            yield session

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction: all of the block, or nothing where it raises. Raises DatabaseError, ConflictError."""
        with self._translated(), self._ready().begin() as session:
            yield session

    def prepare(self) -> None:
        """Bring the tables up to date now. Raises DatabaseError."""
        with self._translated():
            self._ready()

    def now(self) -> float:
        """The database's clock, Unix seconds."""
        with self.reading() as session:
            return session.execute(select(now_seconds())).scalar_one()

    def shrink(self) -> None:
        """Give the space of what was deleted back to the disk, where the database is a file. Raises DatabaseError."""
        while self.path is not None:
            with self.writing() as session:
                free = session.execute(text("PRAGMA freelist_count")).scalar_one()
                # It goes on as long as it is asked for rows, of which it has none.
                driver: Any = session.connection().connection.driver_connection
                driver.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_A_TIME})").fetchall()
                left = session.execute(text("PRAGMA freelist_count")).scalar_one()
            if left in (0, free):
                return

    def close(self) -> None:
        """Let go of all connections; before a fork, which must not share them."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = self._sessions = None

    def _ready(self) -> sessionmaker[Session]:
        if self._process == os.getpid() and (sessions := self._sessions) is not None:
            return sessions
        with self._lock:
            if self._sessions is None or self._process != os.getpid():
                if self._engine is not None:
                    # Connections of the parent must not be closed; those of a migration here that failed must.
                    self._engine.dispose(close=self._process == os.getpid())
                self._sessions = None
                self._engine, self._process = _engine(self._settings, self.path), os.getpid()
                self._migrate(self._engine)
                self._sessions = sessionmaker(self._engine, expire_on_commit=False)
            return self._sessions

    def _migrate(self, engine: Engine) -> None:
        if (self.path is None or self.path.exists()) and _is_newest(engine):
            return
        from missions import migrating  # it needs Alembic, which takes its time

        if self.path is None:
            migrating.migrate(engine)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes must not make the tables at once.
        with sharedfiles.exclusive(self.path.with_suffix(".lock"), _MIGRATION_SECONDS) as held:
            if not held:
                raise DatabaseError(f"another process has been migrating {self.path} for {_MIGRATION_SECONDS:.0f} s")
            self.path.touch(mode=0o600)
            migrating.migrate(engine)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Failures of the driver as those of this house."""
        try:
            yield
        except exc.IntegrityError as error:
            raise ConflictError(f"the database refuses it: {_reason(error)}") from error
        except exc.SQLAlchemyError as error:
            raise DatabaseError(f"the database does not work: {_reason(error)}") from error
        except sqlite3.Error as error:
            raise DatabaseError(f"the database does not work: {error}") from error


def _reason(error: exc.SQLAlchemyError) -> str:
    """What the driver says, in one line, without the statement and its values."""
    origin = getattr(error, "orig", None) or error
    return (str(origin).strip().splitlines() or [type(origin).__name__])[0][:200]


def _is_newest(engine: Engine) -> bool:
    """Whether no migration is missing; asked without Alembic, so that a process starts sooner."""
    with engine.connect().execution_options(**{_READING: True}) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
        return found == NEWEST_MIGRATION


def _url(settings: Settings) -> URL:
    assert settings.database_url is not None
    return make_url(settings.database_url.get_secret_value()).set(drivername="postgresql+psycopg")


def _engine(settings: Settings, path: Path | None) -> Engine:
    if path is None:
        return create_engine(
            _url(settings),
            pool_size=settings.web_threads,
            pool_pre_ping=True,
            pool_timeout=BUSY_SECONDS,
            connect_args={"connect_timeout": 5, "options": "-c lock_timeout=10s -c statement_timeout=120s"},
        )
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        wanted = ".".join(map(str, _OLDEST_SQLITE))
        raise DatabaseError(f"SQLite is {sqlite3.sqlite_version}, it must be {wanted} or newer; or take PostgreSQL")
    engine = create_engine(
        # Only the migration makes the file: where it is gone, an empty one must not take its place.
        f"sqlite+pysqlite:///file:{path.resolve()}?mode=rw&uri=true",
        pool_size=settings.web_threads,
        pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)

    def same_file(connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        """A backup that was put in its place must not be missed by connections to the file before."""
        try:
            inode = path.stat().st_ino
        except FileNotFoundError:
            inode = -1
        if entry.info.setdefault(_INODE, inode) != inode:
            raise exc.DisconnectionError("the file of the database is another one")

    event.listen(engine, "checkout", same_file)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    entry.info.pop(_INODE, None)
    connection.isolation_level = None  # SQLAlchemy begins, not the driver
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        # How space is given back is fixed before the first table is made; later the setting would wait for writers.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    for pragma in (
        "journal_mode = WAL",
        f"journal_size_limit = {_JOURNAL_BYTES}",
        "synchronous = FULL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
