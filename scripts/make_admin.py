"""Makes an administrator, or makes one of an account that is there: `make admin`."""

from __future__ import annotations

import getpass
import re
import sys

from habsim.errors import HabsimError
from missions.accounts import Accounts
from missions.database import Database
from missions.models import USERNAME_LENGTH
from missions.opening import admin_account
from missions.passwords import LONGEST, SHORTEST
from settings import Settings

_USERNAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{1,{USERNAME_LENGTH - 1}}}")


def main() -> int:
    settings = Settings()
    try:
        username = settings.admin_username or input("Username: ").strip()
        if not _USERNAME.fullmatch(username):
            raise SystemExit(f"{username!r} is no username: 2 to {USERNAME_LENGTH} letters, digits, dots and lines")
        if settings.admin_password is not None:
            password = settings.admin_password.get_secret_value()
        else:
            password = getpass.getpass("Password: ")
            if getpass.getpass("The same again: ") != password:
                raise SystemExit("these were two different passwords")
    except (EOFError, KeyboardInterrupt):
        raise SystemExit("\nnobody was made an administrator") from None
    if not SHORTEST <= len(password) <= LONGEST:
        raise SystemExit(f"the password has {len(password)} characters, it must have {SHORTEST} to {LONGEST}")
    try:
        # Nothing is signed here, so any secret will do.
        user, made = Accounts(Database(settings), "").make_admin(admin_account(username, password), promote=True)
    except HabsimError as error:
        raise SystemExit(error.message) from None
    print(f"{user.username} is an administrator" + ("" if made else "; the password is as it was"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
