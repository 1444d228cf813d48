"""The database: its tables, its clock, and what happens when it is locked, gone, full, or older than the service."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, select, text

from habsim.errors import ConflictError, DatabaseError, NotSignedInError
from missions import database as database_module
from missions import migrating
from missions.accounts import Page, Viewer
from missions.backup import back_up
from missions.database import Database
from missions.models import NEWEST_MIGRATION, Base, Chunk, Organization
from missions.opening import Missions, open_missions
from missions.simulations import Filter, NewSimulation
from settings import Settings
from tests import postgresql
from tests.faults import file_size_limit
from tests.missions.backends import ADDRESS, CONFIG, PASSWORD, SECRET, Contract, OnPostgreSQL, OnSQLite, signed_in
from tests.worlds import make_settings


class DatabaseContract(Contract):
    @pytest.fixture
    def database(self, settings: Settings) -> Iterator[Database]:
        database = Database(settings)
        yield database
        database.close()

    def test_migrations_make_what_the_models_say(self, database: Database) -> None:
        with database.writing() as session:
            connection = session.connection()
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, Base.metadata) == []
            assert migrating.current(connection) == NEWEST_MIGRATION

    def test_rows_of_an_earlier_version_come_along(self, settings: Settings, database: Database) -> None:
        if database.path is not None:
            database.path.touch()
        engine = database_module._engine(settings, database.path)
        first = Config()
        first.set_main_option("script_location", str(Path(migrating.__file__).parent / "migrations"))
        with engine.begin() as connection:
            first.attributes["connection"] = connection
            command.upgrade(first, "0001")
            club = {"id": uuid.uuid4().hex}
            connection.execute(text("INSERT INTO organizations VALUES (:id, 'Club', '', 1, true)"), club)
        engine.dispose()
        with database.reading() as session:
            assert migrating.current(session.connection()) == NEWEST_MIGRATION
            assert session.scalars(select(Organization.name)).all() == ["Club"]

    def test_connections_of_a_migration_that_failed_are_closed(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left: list[Any] = []

        def failing(engine: Engine) -> None:
            with engine.connect() as connection:
                left.append(connection.connection.driver_connection)
            raise DatabaseError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(migrating, "migrate", failing)
            with pytest.raises(DatabaseError, match="the disk is full"):
                database.prepare()
        database.prepare()
        with pytest.raises((sqlite3.ProgrammingError, psycopg.OperationalError)):
            left[0].execute("SELECT 1")

    def test_many_begin_at_once_and_one_migrates(self, settings: Settings) -> None:
        databases = [Database(settings) for _ in range(5)]
        failures: list[Exception] = []

        def prepare(database: Database) -> None:
            try:
                database.prepare()
            except DatabaseError as error:
                failures.append(error)

        threads = [threading.Thread(target=prepare, args=(database,)) for database in databases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        for database in databases:
            database.close()

    def test_its_clock_is_the_time(self, database: Database) -> None:
        before = time.time()
        assert before - 0.1 <= database.now() <= time.time() + 0.1

    def test_nothing_of_a_block_that_fails_is_kept(self, database: Database) -> None:
        with pytest.raises(ZeroDivisionError), database.writing() as session:
            session.execute(text("INSERT INTO organizations VALUES (:id, 'a', '', 0, true)"), {"id": uuid.uuid4().hex})
            raise ZeroDivisionError
        with database.reading() as session:
            assert session.execute(text("SELECT count(*) FROM organizations")).scalar_one() == 0

    def test_a_block_of_reading_sees_one_state(self, missions: Missions, ann: Viewer) -> None:
        with missions.database.reading() as session:
            before = session.execute(text("SELECT count(*) FROM simulations")).scalar_one()
            missions.simulations.submit(ann, NewSimulation("forward", CONFIG))
            assert session.execute(text("SELECT count(*) FROM simulations")).scalar_one() == before
        with missions.database.reading() as session:
            assert session.execute(text("SELECT count(*) FROM simulations")).scalar_one() == before + 1

    def test_rows_refer_to_rows_that_are_there(self, database: Database) -> None:
        with pytest.raises(ConflictError), database.writing() as session:
            chunk = {"id": uuid.uuid4().hex, "result": b""}
            session.execute(text("INSERT INTO chunks VALUES (:id, 0, 0, :result)"), chunk)

    def test_a_newer_database_is_refused(self, database: Database, settings: Settings) -> None:
        with database.writing() as session:
            session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        later = Database(settings)
        with pytest.raises(DatabaseError, match="not one of this version"):
            later.prepare()
        later.close()

    def test_a_forked_process_makes_its_own_connections(self, database: Database) -> None:
        database.prepare()
        with database.reading() as session:
            child = os.fork()
            if child == 0:
                status = 1
                with contextlib.suppress(BaseException):
                    database.now()
                    status = 0
                os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert session.execute(text("SELECT 1")).scalar_one() == 1


class TestDatabaseOnSQLite(OnSQLite, DatabaseContract):
    pass


class TestDatabaseOnPostgreSQL(OnPostgreSQL, DatabaseContract):
    pass


class TestSQLite(OnSQLite, Contract):
    def test_it_is_as_asked_for(self, settings: Settings) -> None:
        database = Database(settings)
        with database.reading() as session:
            found = {name: session.execute(text(f"PRAGMA {name}")).scalar_one()
                     for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")}  # fmt: skip
        assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 10000}
        assert (settings.data_dir / "missions.sqlite").stat().st_mode & 0o077 == 0
        database.close()

    def test_space_of_what_was_deleted_is_given_back(self, settings: Settings) -> None:
        missions = open_missions(settings, SECRET)
        one = missions.simulations.submit(signed_in(missions, "ann"), NewSimulation("forward", CONFIG))
        with missions.database.writing() as session:
            for number in range(20):
                session.add(Chunk(simulation_id=one.id, number=number, seconds=1.0, result=os.urandom(1_000_000)))
        with missions.database.writing() as session:
            session.execute(text("DELETE FROM chunks"))
        sizes = []
        for _ in range(3):
            with missions.database.reading() as session:
                sizes.append(4096 * session.execute(text("PRAGMA page_count")).scalar_one())
            missions.database.shrink()
        assert sizes[0] > 20_000_000
        assert sizes[1] == sizes[2] < 1_000_000
        missions.database.close()  # which moves the journal into the file
        assert (settings.data_dir / "missions.sqlite").stat().st_size == sizes[2]

    def test_while_it_is_locked_readers_go_on_and_writers_are_told(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.2)
        missions = open_missions(settings, SECRET)
        ann = signed_in(missions, "ann")
        other = sqlite3.connect(settings.data_dir / "missions.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        missions.database.close()  # new connections read too
        assert missions.simulations.own(ann, Filter(), Page())[1] == 0
        with pytest.raises(DatabaseError, match="locked"):
            missions.simulations.submit(ann, NewSimulation("forward", CONFIG))
        other.execute("ROLLBACK")
        other.close()
        missions.simulations.submit(ann, NewSimulation("forward", CONFIG))
        assert missions.simulations.own(ann, Filter(), Page())[1] == 1
        missions.database.close()

    def test_gone_and_back(self, settings: Settings) -> None:
        missions = open_missions(settings, SECRET)
        ann = signed_in(missions, "ann")
        path = settings.data_dir / "missions.sqlite"
        missions.database.close()
        missions.database.now()
        path.rename(path.with_suffix(".away"))
        with pytest.raises(DatabaseError):
            missions.accounts.login("ann", PASSWORD, ADDRESS)
        assert not path.exists()  # no empty one took its place
        path.with_suffix(".away").rename(path)
        assert missions.accounts.login("ann", PASSWORD, ADDRESS)[0].id == ann.id
        missions.database.close()

    def test_a_full_disk_keeps_what_was_there(self, settings: Settings) -> None:
        missions = open_missions(settings, SECRET)
        ann = signed_in(missions, "ann")
        missions.database.close()
        size = (settings.data_dir / "missions.sqlite").stat().st_size
        big = NewSimulation("forward", {**CONFIG, "note": "x" * 3_000_000})
        with file_size_limit(size + 1_000_000), pytest.raises(DatabaseError):
            missions.simulations.submit(ann, big)
        assert missions.simulations.own(ann, Filter(), Page())[1] == 0
        missions.simulations.submit(ann, big)
        assert missions.simulations.own(ann, Filter(), Page())[1] == 1
        missions.database.close()

    def test_a_service_starts_without_it_and_takes_it_when_it_comes(self, tmp_path: Path) -> None:
        settings = make_settings(tmp_path)
        path = settings.data_dir / "missions.sqlite"
        path.mkdir()
        missions = open_missions(settings, SECRET)
        with pytest.raises((DatabaseError, OSError)):
            missions.accounts.login("ann", PASSWORD, ADDRESS)
        path.rmdir()
        with pytest.raises(NotSignedInError):
            missions.accounts.login("ann", PASSWORD, ADDRESS)
        missions.database.close()


class TestBackup(OnSQLite, Contract):
    def test_what_was_backed_up_is_there_after_a_restore_without_a_restart(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        """As docs/operations.md says: put the copy in the place of the file, and remove the log beside it."""
        missions = open_missions(settings, SECRET)
        ann = signed_in(missions, "ann")
        kept = missions.simulations.submit(ann, NewSimulation("forward", CONFIG, "kept")).id
        copy = tmp_path / "backup.sqlite"
        assert back_up(missions.database, copy) == copy.stat().st_size > 0
        assert copy.stat().st_mode & 0o077 == 0
        lost = missions.simulations.submit(ann, NewSimulation("forward", CONFIG, "after it")).id
        path = settings.data_dir / "missions.sqlite"
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.copy(copy, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
        rows, total = missions.simulations.own(ann, Filter(), Page())
        assert ([row.id for row in rows], total) == ([kept], 1)
        assert lost not in {row.id for row in rows}
        again = missions.simulations.submit(ann, NewSimulation("forward", CONFIG)).id
        other = open_missions(settings, SECRET)
        assert {row.id for row in other.simulations.own(ann, Filter(), Page())[0]} == {kept, again}
        for opened in (missions, other):
            opened.database.close()

    def test_a_backup_is_whole_while_others_write(self, settings: Settings, tmp_path: Path) -> None:
        missions = open_missions(settings, SECRET)
        ann = signed_in(missions, "ann")
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                missions.simulations.submit(ann, NewSimulation("forward", CONFIG))

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for number in range(3):
                copy = tmp_path / f"{number}.sqlite"
                back_up(missions.database, copy)
                with contextlib.closing(sqlite3.connect(copy)) as connection:
                    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        finally:
            stop.set()
            thread.join()
        missions.database.close()

    def test_what_cannot_be_backed_up_is_said(self, settings: Settings, tmp_path: Path) -> None:
        database = Database(settings)
        with pytest.raises(DatabaseError, match="there is no database"):
            back_up(database, tmp_path / "x")
        database.prepare()
        with pytest.raises(DatabaseError, match="cannot be written"):
            back_up(database, tmp_path / "nowhere" / "x")
        database.close()


def test_postgresql_gone_and_back(tmp_path: Path) -> None:
    server = postgresql.server()
    settings = make_settings(tmp_path, database_url=server.new_database())
    missions = open_missions(settings, SECRET)
    ann = signed_in(missions, "ann")
    server.stop()
    try:
        for _ in range(2):
            with pytest.raises(DatabaseError):
                missions.simulations.submit(ann, NewSimulation("forward", CONFIG))
        late = open_missions(settings, SECRET)
    finally:
        server.start()
    for opened in (missions, late):
        opened.simulations.submit(ann, NewSimulation("forward", CONFIG))
    assert missions.simulations.own(ann, Filter(), Page())[1] == 2
    with pytest.raises(ConflictError, match="pg_dump"):
        back_up(missions.database, tmp_path / "x")
    for opened in (missions, late):
        opened.database.close()


def test_a_server_that_is_not_there_is_said_without_the_password(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, database_url="postgresql://u:hidden@127.0.0.1:1/x")
    with pytest.raises(DatabaseError) as caught:
        Database(settings).prepare()
    assert "hidden" not in caught.value.message
