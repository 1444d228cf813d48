"""Keeps the database: `migrate` brings it up to date, `backup TO` copies the SQLite file while it is in use."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from habsim.errors import HabsimError
from missions.backup import back_up
from missions.database import Database
from settings import read_settings


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.database", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="bring the tables up to date")
    backup = commands.add_parser("backup", help="copy the SQLite file")
    backup.add_argument("to", type=Path, help="file that the copy becomes")
    given = parser.parse_args(arguments)
    database = Database(read_settings())
    try:
        if given.command == "migrate":
            database.prepare()
            print(f"{database} is up to date")
        else:
            size = back_up(database, given.to)
            print(f"{given.to}: {size / 1e6:.1f} MB, whole")
    except HabsimError as error:
        raise SystemExit(error.message) from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
