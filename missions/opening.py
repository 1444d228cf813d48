"""Everything about people and what they keep, opened by the settings."""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass

from habsim.errors import BadRequestError, ConflictError, DatabaseError
from missions.accounts import Accounts, NewAccount
from missions.database import Database
from missions.jobs import Queue
from missions.leftovers import remove_files
from missions.models import USERNAME_LENGTH, USERNAME_PATTERN
from missions.organizations import Organizations
from missions.passwords import LONGEST, SHORTEST
from missions.results import Results
from missions.simulations import Simulations
from settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Missions:
    """The parts that a service works with."""

    database: Database
    accounts: Accounts
    organizations: Organizations
    simulations: Simulations
    queue: Queue
    results: Results

    def delete_user(self, user_id: uuid.UUID) -> None:
        """Remove an account with its simulations and their results. Raises as `Accounts.delete`."""
        self.accounts.delete(user_id, lambda gone: remove_files(self.results, gone))


def open_missions(settings: Settings, secret: str) -> Missions:
    """Open the database and bring it up to date; one that does not answer now is tried again when it is needed."""
    database = Database(settings)
    results = Results(settings, shared_database=database.is_shared)
    queue = Queue(database, settings)
    accounts = Accounts(database, secret)
    opened = Missions(
        database, accounts, Organizations(database), Simulations(database, queue, results, settings), queue, results
    )
    try:
        database.prepare()
        if settings.admin_username is not None and settings.admin_password is not None:
            new = admin_account(settings.admin_username, settings.admin_password.get_secret_value())
            user, _ = accounts.make_admin(new, promote=False)
            if not user.is_admin:
                log.warning("%s of HABSIM_ADMIN_USERNAME is no administrator; `make admin` makes one", user.username)
    except BadRequestError as error:
        log.error("there is no administrator from HABSIM_ADMIN_USERNAME: %s", error)
    except (DatabaseError, ConflictError, OSError) as error:
        log.error("accounts and jobs do not work: %s", error)
    # What forks now must make its own connections.
    database.close()
    return opened


def admin_account(username: str, password: str) -> NewAccount:
    """The first administrator, who has yet to give an address. Raises BadRequestError for what nobody could register.

    The password itself is not said.
    """
    if len(username) > USERNAME_LENGTH or not re.fullmatch(USERNAME_PATTERN, username):
        raise BadRequestError(f"{username!r} is no username: 2 to {USERNAME_LENGTH} letters, digits, dots and lines")
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadRequestError(f"the password has {len(password)} characters, it must have {SHORTEST} to {LONGEST}")
    return NewAccount(username, f"{username.lower()}@localhost", password)
