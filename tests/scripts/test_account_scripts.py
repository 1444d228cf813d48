"""`make admin`, `make migrate`, `make backup`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from missions.opening import open_missions
from scripts import database, make_admin
from tests.worlds import make_settings

PASSWORD = "up-and-away"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATABASE_URL", "HABSIM_ADMIN_USERNAME", "HABSIM_ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HABSIM_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def answering(monkeypatch: pytest.MonkeyPatch, username: str, *given: str) -> None:
    passwords = iter(given)
    monkeypatch.setattr("builtins.input", lambda _: username)
    monkeypatch.setattr("getpass.getpass", lambda _: next(passwords))


def test_the_first_administrator_is_asked_for(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, "root", PASSWORD, PASSWORD)
    assert make_admin.main() == 0
    assert capsys.readouterr().out == "root is an administrator\n"
    missions = open_missions(make_settings(tmp_path), "s" * 32)
    assert missions.accounts.login("root", PASSWORD, None)[0].is_admin
    missions.database.close()
    answering(monkeypatch, "root", "another one", "another one")
    make_admin.main()
    assert capsys.readouterr().out == "root is an administrator, with the new password\n"
    missions = open_missions(make_settings(tmp_path), "s" * 32)
    assert missions.accounts.login("root", "another one", None)[0].is_admin
    missions.database.close()


def test_or_taken_from_the_environment(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HABSIM_ADMIN_USERNAME", "root")
    monkeypatch.setenv("HABSIM_ADMIN_PASSWORD", PASSWORD)
    assert make_admin.main() == 0


@pytest.mark.parametrize(
    ("username", "given", "said"),
    [("a b", [PASSWORD] * 2, "is no username"), ("root", [PASSWORD, "x"], "two different"),
     ("root", ["short"] * 2, "has 5 characters, it must have 8 to 200")],
)  # fmt: skip
def test_wrong_answers_make_nobody(
    data: Path, monkeypatch: pytest.MonkeyPatch, username: str, given: list[str], said: str
) -> None:
    answering(monkeypatch, username, *given)
    with pytest.raises(SystemExit, match=said):
        make_admin.main()
    assert not (data / "missions.sqlite").exists()


def test_migrate_and_backup(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="there is no database"):
        database.main(["backup", str(tmp_path / "x")])
    assert database.main(["migrate"]) == 0
    assert database.main(["backup", str(tmp_path / "copy.sqlite")]) == 0
    assert "whole" in capsys.readouterr().out
    connection = sqlite3.connect(tmp_path / "copy.sqlite")
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)
    connection.close()
