"""Accounts: who signs in, what a token is good for, and how failures are held back; on both databases."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from sqlalchemy import select, text

from habsim.errors import BadRequestError, BusyError, ConflictError, ForbiddenError, NotFoundError, NotSignedInError
from missions import accounts, lockout, passwords
from missions.accounts import NewAccount, Page, Viewer
from missions.lockout import OF_ADDRESS, OF_USERNAME_FROM_ADDRESS, Lockout, Patience
from missions.models import Simulation
from missions.opening import Missions, admin_account, open_missions
from missions.simulations import NewSimulation
from missions.tokens import TOKEN_SECONDS, Claims, Tokens
from settings import Settings
from tests.missions.backends import ADDRESS, PASSWORD, SECRET, Contract, OnPostgreSQL, OnSQLite, signed_in


def forgiven(missions: Missions) -> None:
    """The waits are over, the failures are not forgotten."""
    with missions.database.writing() as session:
        session.execute(text("UPDATE login_attempts SET blocked_until = 0"))


def waits(missions: Missions) -> dict[str, float]:
    """The waits of all keys, from the last failure on."""
    with missions.database.reading() as session:
        rows = session.execute(text("SELECT key, blocked_until - last FROM login_attempts WHERE blocked_until > 0"))
        return {key: wait for key, wait in rows}  # noqa: C416


def prolonged(missions: Missions) -> None:
    """The waits take longer than this machine may need for a test."""
    with missions.database.writing() as session:
        session.execute(text("UPDATE login_attempts SET blocked_until = blocked_until + 800 WHERE blocked_until > 0"))


class AccountsContract(Contract):
    def test_a_new_account_signs_in(self, missions: Missions) -> None:
        user = missions.accounts.register(NewAccount("Ann", "Ann@Example.org", PASSWORD, "Ann B"))
        assert (user.username, user.email, user.name) == ("Ann", "ann@example.org", "Ann B")
        assert (user.is_active, user.is_admin, user.last_login) == (True, False, None)
        viewer, token = missions.accounts.login("aNN", PASSWORD, ADDRESS)
        assert missions.accounts.viewer(token).id == viewer.id == user.id
        assert viewer.user.last_login is not None
        assert viewer.claims.expires == pytest.approx(viewer.user.last_login + TOKEN_SECONDS, abs=2)

    def test_the_password_is_kept_as_argon2_only(self, missions: Missions, ann: Viewer) -> None:
        assert ann.user.password_hash.startswith("$argon2id$")
        assert PASSWORD not in ann.user.password_hash

    @pytest.mark.parametrize(
        ("username", "email", "what"),
        [("ann", "other@example.org", "username ann"), ("ANN", "other@example.org", "username ANN"),
         ("other", "ann@example.org", "email"), ("other", "ANN@example.org", "email")],
    )  # fmt: skip
    def test_names_and_addresses_are_taken_once(
        self, missions: Missions, ann: Viewer, username: str, email: str, what: str
    ) -> None:
        with pytest.raises(ConflictError, match=what):
            missions.accounts.register(NewAccount(username, email, PASSWORD))

    def test_of_many_who_register_one_name_one_gets_it(self, missions: Missions) -> None:
        def register(number: int) -> bool:
            try:
                missions.accounts.register(NewAccount("ann", f"{number}@example.org", PASSWORD))
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(6) as threads:
            assert sum(threads.map(register, range(6))) == 1

    def test_wrong_passwords_and_unknown_users_are_told_the_same(self, missions: Missions, ann: Viewer) -> None:
        messages = set()
        for username, password in (("ann", "wrong"), ("nobody", PASSWORD), ("ann'--", PASSWORD), ("\x01", "")):
            with pytest.raises(NotSignedInError) as caught:
                missions.accounts.login(username, password, ADDRESS)
            messages.add(caught.value.message)
        assert messages == {"wrong username or password"}

    def test_an_unknown_user_costs_a_hash_too(self, missions: Missions, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str | None] = []
        right = passwords.is_right
        monkeypatch.setattr(passwords, "is_right", lambda p, h: asked.append(h) or right(p, h))  # type: ignore[func-returns-value]
        with pytest.raises(NotSignedInError):
            missions.accounts.login("nobody", PASSWORD, ADDRESS)
        assert asked == [None]

    # Tokens

    def test_signing_out_ends_the_one_token(self, missions: Missions, ann: Viewer) -> None:
        first = missions.accounts.login("ann", PASSWORD, ADDRESS)[1]
        second = missions.accounts.login("ann", PASSWORD, ADDRESS)[1]
        viewer = missions.accounts.viewer(first)
        missions.accounts.logout(viewer)
        missions.accounts.logout(viewer)  # again does no harm
        with pytest.raises(NotSignedInError, match="no longer valid"):
            missions.accounts.viewer(first)
        assert missions.accounts.viewer(second).id == ann.id

    @pytest.mark.parametrize("changes", [{"is_active": False}, {"password": "another one"}])
    def test_deactivation_and_a_new_password_end_all(
        self, missions: Missions, ann: Viewer, changes: dict[str, object]
    ) -> None:
        tokens = [missions.accounts.login("ann", PASSWORD, ADDRESS)[1] for _ in range(2)]
        missions.accounts.change(ann.id, changes)
        missions.accounts.change(ann.id, {"is_active": True})
        for token in tokens:
            with pytest.raises(NotSignedInError):
                missions.accounts.viewer(token)

    def test_a_deleted_user_is_nobody(self, missions: Missions, ann: Viewer) -> None:
        token = missions.accounts.login("ann", PASSWORD, ADDRESS)[1]
        missions.delete_user(ann.id)
        with pytest.raises(NotSignedInError):
            missions.accounts.viewer(token)
        with pytest.raises(NotFoundError):
            missions.delete_user(ann.id)

    def test_forged_tokens_are_refused(self, missions: Missions, ann: Viewer) -> None:
        tokens = missions.accounts.tokens
        good = tokens.made(ann.claims)
        content = jwt.decode(good, options={"verify_signature": False})
        head, body, signature = good.split(".")
        key = SECRET.encode()
        forged = [
            "", ".", "..", "x", good[:-3], good + "x", f"{head}.{body}.", f"{head}.{signature}.{body}", "x" * 10_000,
            "\N{BALLOON}", "\ud800",
            jwt.encode(content, None, algorithm="none"),  # type: ignore[arg-type]
            jwt.encode(content, key, "HS256"),  # the secret itself signs nothing
            jwt.encode(content, key * 2, "HS512"),
            Tokens("another secret").made(ann.claims),
        ]  # fmt: skip
        changes: list[dict[str, object]] = [
            {"exp": 1}, {"exp": "never"}, {"sub": "1"}, {"sub": str(uuid.uuid4())}, {"ver": 7}, {"ver": "x"},
            {"jti": None},
        ]  # fmt: skip
        forged += [jwt.encode({**content, **changed}, tokens._key, "HS256") for changed in changes]
        for missing in ("sub", "jti", "exp", "iat", "ver"):
            rest = {name: value for name, value in content.items() if name != missing}
            forged.append(jwt.encode(rest, tokens._key, "HS256"))
        assert missions.accounts.viewer(good).id == ann.id
        for token in forged:
            with pytest.raises(NotSignedInError):
                missions.accounts.viewer(token)

    def test_a_token_ends_after_a_week(self, missions: Missions, ann: Viewer) -> None:
        old = Claims(ann.id, "x" * 32, missions.database.now() - 1, ann.claims.version)
        with pytest.raises(NotSignedInError, match="over"):
            missions.accounts.viewer(missions.accounts.tokens.made(old))

    def test_a_token_is_good_for_every_process_with_the_secret(
        self, missions: Missions, settings: Settings, ann: Viewer
    ) -> None:
        other = open_missions(settings, SECRET)
        assert other.accounts.viewer(missions.accounts.tokens.made(ann.claims)).id == ann.id
        other.accounts.logout(ann)
        with pytest.raises(NotSignedInError):
            missions.accounts.viewer(missions.accounts.tokens.made(ann.claims))
        other.database.close()

    # Changes

    def test_the_own_password_needs_the_one_before(self, missions: Missions, ann: Viewer) -> None:
        for wrong in (None, "", "wrong"):
            with pytest.raises(ForbiddenError, match="current password"):
                missions.accounts.change_own(ann, {"password": "a new one"}, wrong)
        before = missions.accounts.tokens.made(ann.claims)
        viewer, token = missions.accounts.change_own(ann, {"password": "a new one", "name": "A"}, PASSWORD)
        assert viewer.user.name == "A"
        assert missions.accounts.viewer(token).id == ann.id
        with pytest.raises(NotSignedInError):
            missions.accounts.viewer(before)
        with pytest.raises(NotSignedInError):
            missions.accounts.login("ann", PASSWORD, ADDRESS)
        assert missions.accounts.login("ann", "a new one", ADDRESS)[0].id == ann.id

    def test_an_account_that_is_not_active_does_not_sign_in(self, missions: Missions, ann: Viewer) -> None:
        missions.accounts.change(ann.id, {"is_active": False})
        with pytest.raises(ForbiddenError, match="not active"):
            missions.accounts.login("ann", PASSWORD, ADDRESS)
        with pytest.raises(NotSignedInError):
            missions.accounts.login("ann", "wrong", ADDRESS)  # that is not told to everybody

    def test_the_last_administrator_stays(self, missions: Missions) -> None:
        first = signed_in(missions, "first", is_admin=True)
        for changes in ({"is_admin": False}, {"is_active": False}):
            with pytest.raises(ConflictError, match="last active administrator"):
                missions.accounts.change(first.id, changes)
        with pytest.raises(ConflictError):
            missions.delete_user(first.id)
        second = signed_in(missions, "second", is_admin=True)
        missions.accounts.change(second.id, {"is_active": False})
        with pytest.raises(ConflictError):
            missions.delete_user(first.id)
        missions.accounts.change(second.id, {"is_active": True})
        missions.delete_user(first.id)

    def test_two_administrators_cannot_take_each_other_away(self, missions: Missions) -> None:
        ids = [signed_in(missions, name, is_admin=True).id for name in ("first", "second")]

        def demote(user_id: uuid.UUID) -> bool:
            try:
                missions.accounts.change(user_id, {"is_admin": False})
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(2) as threads:
            assert sum(threads.map(demote, ids)) == 1

    def test_users_are_found_by_part_of_name_and_address(self, missions: Missions) -> None:
        for name in ("ann", "bob", "b_b", "BobbyTables"):
            missions.accounts.register(NewAccount(name, f"{name}@example.org", PASSWORD, "50% Café"))
        users, total = missions.accounts.users(Page(1, 2))
        assert ([user.username for user in users], total) == (["ann", "b_b"], 4)
        assert [user.username for user in missions.accounts.users(Page(2, 2))[0]] == ["bob", "BobbyTables"]
        for search, count in (("bob", 2), ("B_B", 1), ("0%", 4), ("'", 0), ("%", 4), ("\\", 0), ("EXAMPLE", 4)):
            assert missions.accounts.users(Page(), search)[1] == count, search

    def test_the_first_administrator(self, missions: Missions, settings: Settings) -> None:
        new = admin_account("Root", PASSWORD)
        user, made = missions.accounts.make_admin(new, promote=True)
        assert (user.is_admin, made) == (True, True)
        ann = signed_in(missions, "ann")
        promoted, made = missions.accounts.make_admin(admin_account("ann", "ignored one"), promote=False)
        assert (promoted.is_admin, made) == (False, False)
        token = missions.accounts.login("ann", PASSWORD, ADDRESS)[1]
        assert missions.accounts.make_admin(admin_account("ann", "a new one"), promote=True)[0].is_admin
        assert missions.accounts.login("ann", "a new one", ADDRESS)[0].id == ann.id
        with pytest.raises(NotSignedInError):
            missions.accounts.viewer(token)

    @pytest.mark.parametrize(
        ("username", "password", "what"),
        [("a b", PASSWORD, "'a b' is no username"), ("x" * 51, PASSWORD, "2 to 50"), ("root", "x", "has 1 char"),
         ("root", "x" * 201, "has 201 characters, it must have 8 to 200")],
    )  # fmt: skip
    def test_the_first_administrator_is_one_who_could_register(self, username: str, password: str, what: str) -> None:
        with pytest.raises(BadRequestError, match=what):
            admin_account(username, password)

    def test_a_user_with_much_history_goes_some_at_a_time(
        self, missions: Missions, ann: Viewer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(accounts, "_DELETED_AT_A_TIME", 2)
        bob = signed_in(missions, "bob")
        for viewer in (ann, ann, ann, ann, ann, bob):
            missions.simulations.submit(viewer, NewSimulation("forward", {}))
        missions.delete_user(ann.id)
        with missions.database.reading() as session:
            assert [row.user_id for row in session.scalars(select(Simulation))] == [bob.id]
        with pytest.raises(NotFoundError):
            missions.accounts.user(ann.id)

    # Organisations

    def test_organisations_are_kept(self, missions: Missions, ann: Viewer) -> None:
        club = missions.organizations.create("Club <b>", "it's; DROP TABLE users")
        for same in ("Club <b>", "CLUB <B>"):
            with pytest.raises(ConflictError, match="there is an organisation"):
                missions.organizations.create(same, "")
        user = missions.accounts.change(ann.id, {"organization_id": club.id})
        assert user.organization is not None
        assert user.organization.name == "Club <b>"
        ((found, members),), total = missions.organizations.all(Page())
        assert (found.id, members, total) == (club.id, 1, 1)
        changed, members = missions.organizations.change(club.id, {"name": "Other", "is_active": False})
        assert (changed.name, members) == ("Other", 1)
        missions.organizations.delete(club.id)
        assert missions.accounts.user(ann.id).organization_id is None
        with pytest.raises(NotFoundError):
            missions.organizations.delete(club.id)
        with pytest.raises(NotFoundError):
            missions.accounts.change(ann.id, {"organization_id": club.id})

    # Failures

    def test_waits_grow_for_a_username_from_one_place(self, missions: Missions, ann: Viewer) -> None:
        found = []
        for number in range(OF_USERNAME_FROM_ADDRESS.free + 4):
            with pytest.raises(NotSignedInError):
                missions.accounts.login("ann", "wrong", ADDRESS)
            found.append(round(waits(missions).get(lockout.of_username("ann", ADDRESS), 0.0), 3))
            if number < OF_USERNAME_FROM_ADDRESS.free + 3:
                forgiven(missions)
        assert found == [0, 0, 0, 0, 1, 2, 4, 8, 16]
        prolonged(missions)
        with pytest.raises(BusyError, match="try again in 8"):
            missions.accounts.login("ann", PASSWORD, ADDRESS)
        assert missions.accounts.login("ann", PASSWORD, "203.0.113.9")[0].id == ann.id  # nobody is kept out by others
        forgiven(missions)
        missions.accounts.login("ann", PASSWORD, ADDRESS)  # and a right one forgets them all
        with pytest.raises(NotSignedInError):
            missions.accounts.login("ann", "wrong", ADDRESS)

    def test_guesses_from_many_places_wait_a_little(
        self, missions: Missions, ann: Viewer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lockout, "OF_USERNAME", Patience(3, 5.0))
        key, found = lockout.of_username("ann"), []
        for number in range(8):
            with pytest.raises(NotSignedInError):
                missions.accounts.login("ann", "wrong", f"198.51.100.{number}")
            found.append(round(waits(missions).get(key, 0.0), 3))
            forgiven(missions)
        assert found == [0, 0, 1, 2, 4, 5, 5, 5]
        missions.accounts.login("ann", PASSWORD, ADDRESS)
        with missions.database.reading() as session:
            row = session.execute(text("SELECT failures FROM login_attempts WHERE key = :key"), {"key": key})
            assert row.scalar_one() == 8  # a right one is no guess, and does not excuse those of others

    def test_who_signed_in_from_here_before_is_not_kept_out_by_others(
        self, missions: Missions, ann: Viewer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lockout, "OF_USERNAME", Patience(3, 800.0))
        monkeypatch.setattr(lockout, "OF_ADDRESS", Patience(3, 800.0))
        for number in range(3):
            for username, address in (("ann", f"198.51.100.{number}"), (f"user{number}", ADDRESS)):
                with pytest.raises(NotSignedInError):
                    missions.accounts.login(username, "wrong", address)
        prolonged(missions)
        for username, address in (("ann", "203.0.113.9"), ("eve", ADDRESS)):
            with pytest.raises(BusyError):
                missions.accounts.login(username, PASSWORD, address)
        assert missions.accounts.login("ann", PASSWORD, ADDRESS)[0].id == ann.id

    def test_right_passwords_at_once_do_not_wait_for_each_other(
        self, missions: Missions, ann: Viewer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passwords, "is_right", lambda *_: True)
        monkeypatch.setattr(lockout, "OF_USERNAME_FROM_ADDRESS", Patience(1000, 1.0))

        def login(number: int) -> uuid.UUID:
            return missions.accounts.login("ann", PASSWORD, f"198.51.100.{number % 3}")[0].id

        with ThreadPoolExecutor(6) as threads:
            assert set(threads.map(login, range(60))) == {ann.id}

    def test_registrations_are_counted_by_the_hour(self, missions: Missions) -> None:
        for _ in range(3):
            missions.accounts.lockout.count("register", "registrations", 3)
        with pytest.raises(BusyError, match=r"^3 registrations in an hour are the limit; try again in 3[4-6]\d\d s"):
            missions.accounts.lockout.count("register", "registrations", 3)
        with missions.database.writing() as session:
            session.execute(text("UPDATE login_attempts SET last = last - 3601"))
        missions.accounts.lockout.count("register", "registrations", 3)

    def test_waits_grow_for_an_address_whatever_it_tries(self, missions: Missions) -> None:
        for number in range(OF_ADDRESS.free):
            with pytest.raises(NotSignedInError):
                missions.accounts.login(f"user{number}", "wrong", "2001:db8::1")
        prolonged(missions)
        with pytest.raises(BusyError):
            missions.accounts.login("another", "wrong", "2001:db8::ffff:1")  # the same network
        with pytest.raises(NotSignedInError):
            missions.accounts.login("another", "wrong", "2001:db8:0:1::1")

    def test_other_processes_know_of_the_failures(self, missions: Missions, settings: Settings, ann: Viewer) -> None:
        for _ in range(OF_USERNAME_FROM_ADDRESS.free):
            with pytest.raises(NotSignedInError):
                missions.accounts.login("ann", "wrong", ADDRESS)
        prolonged(missions)
        other = open_missions(settings, SECRET)
        with pytest.raises(BusyError, match="try again in"):
            other.accounts.login("ann", PASSWORD, ADDRESS)
        other.database.close()

    def test_many_tries_at_once_are_no_way_around(
        self, missions: Missions, ann: Viewer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lockout, "FIRST_WAIT_SECONDS", 800.0)

        def attempt(number: int) -> bool:
            try:
                Lockout(missions.database).attempt({"ann": OF_USERNAME_FROM_ADDRESS})
            except BusyError:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(attempt, range(30))) == OF_USERNAME_FROM_ADDRESS.free

    def test_the_longest_wait_is_bounded_and_failures_are_forgotten(self, missions: Missions) -> None:
        with pytest.raises(NotSignedInError):
            missions.accounts.login("ann", "wrong", ADDRESS)
        with missions.database.writing() as session:
            session.execute(text("UPDATE login_attempts SET failures = 1000000"))
        with pytest.raises(NotSignedInError):
            missions.accounts.login("ann", "wrong", ADDRESS)
        with pytest.raises(BusyError):
            missions.accounts.login("ann", "wrong", ADDRESS)
        assert set(waits(missions).values()) == {900.0, 60.0, 5.0}
        with missions.database.writing() as session:
            session.execute(text("UPDATE login_attempts SET last = last - 4000, blocked_until = 0"))
        for _ in range(2):
            with pytest.raises(NotSignedInError):
                missions.accounts.login("ann", "wrong", ADDRESS)


class TestAccountsOnSQLite(OnSQLite, AccountsContract):
    pass


class TestAccountsOnPostgreSQL(OnPostgreSQL, AccountsContract):
    pass
