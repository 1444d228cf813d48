"""The two databases of contract tests: a class of tests once, and a subclass for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from missions.accounts import NewAccount, Viewer
from missions.opening import Missions, open_missions
from settings import Settings
from tests import postgresql
from tests.worlds import make_settings

SECRET = "a secret of the tests, of more than 32 bytes"
PASSWORD = "up-and-away"
ADDRESS = "192.0.2.1"
CONFIG = {
    "timestamp": 1795050000.0, "lat": 37.3553, "lon": -121.8763, "alt": 24.0, "equil": 30000.0, "eqtime": 1.0,
    "asc": 4.0, "desc": 8.0, "model": 0,
}  # fmt: skip


class OnSQLite:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return make_settings(tmp_path, job_lease_seconds=1.0)


class OnPostgreSQL:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return make_settings(tmp_path, job_lease_seconds=1.0, database_url=postgresql.server().new_database())


class Contract:
    """Base of the contracts: `missions` is on the database of the subclass."""

    @pytest.fixture
    def missions(self, settings: Settings) -> Iterator[Missions]:
        opened = open_missions(settings, SECRET)
        yield opened
        opened.database.close()

    @pytest.fixture
    def ann(self, missions: Missions) -> Viewer:
        return signed_in(missions, "ann")


def signed_in(missions: Missions, username: str, *, is_admin: bool = False) -> Viewer:
    """A new account that has signed in."""
    missions.accounts.register(NewAccount(username, f"{username}@example.org", PASSWORD), is_admin=is_admin)
    return missions.accounts.login(username, PASSWORD, ADDRESS)[0]
