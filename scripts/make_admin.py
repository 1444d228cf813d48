"""Makes an administrator, or one of an account that is there, with a new password: `make admin`."""

from __future__ import annotations

import getpass
import sys

from habsim.errors import HabsimError
from missions.accounts import Accounts
from missions.database import Database
from missions.opening import admin_account
from settings import read_settings


def main() -> int:
    settings = read_settings()
    try:
        username = settings.admin_username or input("Username: ").strip()
        if settings.admin_password is not None:
            password = settings.admin_password.get_secret_value()
        else:
            password = getpass.getpass("Password: ")
            if getpass.getpass("The same again: ") != password:
                raise SystemExit("these were two different passwords")
    except (EOFError, KeyboardInterrupt):
        raise SystemExit("\nnobody was made an administrator") from None
    try:
        # Nothing is signed here, so any secret will do.
        user, made = Accounts(Database(settings), "").make_admin(admin_account(username, password), promote=True)
    except HabsimError as error:
        raise SystemExit(error.message) from None
    print(f"{user.username} is an administrator" + ("" if made else ", with the new password"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
