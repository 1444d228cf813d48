"""Accounts in the browser: what is refused is said where it happens; who leaves is out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.page.conftest import ADMIN, ADMIN_PASSWORD, GROUND, Open
from tests.page.desk import PASSWORD, SHORT_PASSWORD, WRONG_PASSWORD, Desk
from tests.page.visit import Service, address_of
from tests.serving import serving


def test_a_new_user_registers_leaves_and_comes_back(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.page
    expect(page.get_by_text("No simulations here yet")).to_be_visible()
    desk.go("/account")
    desk.press("Sign out")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#who")).to_be_hidden()
    # The page that was asked for is the one that follows.
    desk.sign_in(desk.username)
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    page.reload()
    expect(page.locator("#who")).to_have_text(desk.username)


def test_what_is_wrong_with_a_registration_is_said_at_its_field(visit: Open, office: Service) -> None:
    one = visit(at=office)
    other = Desk(one).register("taken")
    other.go("/account").press("Sign out")
    page = other.page
    page.get_by_role("button", name="Register").click()
    other.fill(Username="a b", Email="nobody", Password=SHORT_PASSWORD)
    other.page.get_by_role("button", name="Register", exact=True).click()
    expect(page.locator("#username-note")).to_contain_text("At least 2 letters")
    expect(page.locator("#email-note")).to_contain_text("name@example.org")
    expect(page.locator("#password-note")).to_have_text("At least 8 characters")
    expect(page.get_by_label("Username", exact=True)).to_be_focused()
    one.expect_fault("status of 409")
    other.fill(Username=other.username, Email="new@example.org", Password=PASSWORD)
    other.page.get_by_role("button", name="Register", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="taken")).to_be_visible()


@pytest.fixture
def closed(demo_bucket: Path, tmp_path: Path) -> Iterator[Service]:
    """A service at which nobody registers, with an administrator."""
    settings = {
        "HABSIM_BUCKET_DIR": str(demo_bucket),
        "HABSIM_ELEVATION": str(GROUND),
        "HABSIM_REGISTRATION": "closed",
        "HABSIM_ADMIN_USERNAME": ADMIN,
        "HABSIM_ADMIN_PASSWORD": ADMIN_PASSWORD,
    }
    with serving(tmp_path, **settings, HABSIM_WEB_WORKERS="1") as server:
        yield Service(server, address_of(server))


def test_where_registration_is_closed_an_administrator_makes_accounts(visit: Open, closed: Service) -> None:
    one = visit(at=closed)
    one.expect_fault("status of 403")
    desk = Desk(one).go("/simulations")
    page = desk.page
    page.get_by_role("button", name="Register").click()
    desk.fill(Username="newcomer", Email="newcomer@example.org", Password=PASSWORD)
    page.get_by_role("button", name="Register", exact=True).click()
    alert = page.get_by_role("alert").filter(has_text="ask an administrator for an account")
    expect(alert).to_have_text("Registration is closed here; ask an administrator for an account")
    other = Desk(visit(at=closed)).go("/simulations").sign_in(ADMIN, ADMIN_PASSWORD)
    expect(other.page.locator("#who")).to_have_text(ADMIN)
    other.go("/admin").press("New account")
    other.fill(Username="newcomer", Email="newcomer@example.org", Password=SHORT_PASSWORD)
    other.press("Make it")
    expect(other.page.locator("#password-note")).to_have_text("At least 8 characters")
    other.fill(Password=PASSWORD)
    assert other.wrong("new-account") == []
    other.press("Make it")
    expect(other.row("newcomer").first).to_be_visible()
    expect(other.page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Sign in", exact=True).click()
    desk.sign_in("newcomer")
    expect(page.locator("#who")).to_have_text("newcomer")


def test_too_many_wrong_passwords_have_to_wait_and_are_told_how_long(visit: Open, office: Service) -> None:
    one = visit(at=office)
    one.expect_fault("status of 401")
    one.expect_fault("status of 429")
    desk = Desk(one).register("forgetful")
    desk.go("/account").press("Sign out")
    page = desk.page
    button = page.locator("form button")
    waits = page.get_by_text("Too many failed attempts; try again in")
    wrong = page.get_by_text("Wrong username or password")
    for _ in range(12):
        desk.fill(Username=desk.username, Password=WRONG_PASSWORD)
        button.click()
        expect(wrong.or_(waits)).to_be_visible()
        if waits.is_visible():
            break
        expect(button).to_be_enabled()
    expect(waits).to_be_visible()
    expect(button).to_be_disabled()
    expect(button).to_contain_text("Sign in in")
    # Once the time is over, the right password does.
    expect(button).to_be_enabled()
    desk.sign_in(desk.username)
    expect(page.locator("#who")).to_have_text(desk.username)


def test_a_new_password_needs_the_old_one(visit: Open, office: Service) -> None:
    one = visit(at=office)
    one.expect_fault("status of 403")
    desk = Desk(one).register()
    page = desk.go("/account").page
    card = page.locator("section").filter(has=page.get_by_role("heading", name="Password"))
    card.get_by_label("Current password").fill("wrong")
    card.get_by_label("New password").fill("another password")
    card.get_by_role("button").click()
    expect(card.get_by_role("alert")).to_contain_text("not the current password")
    card.get_by_label("Current password").fill(PASSWORD)
    card.get_by_role("button").click()
    expect(page.get_by_text("The password is changed")).to_be_visible()
    # Who changed it is still signed in, and can still change things: the proof of the page is new too.
    desk.press("Sign out")
    desk.sign_in(desk.username, "another password")
    expect(page.locator("#who")).to_have_text(desk.username)


def test_an_administrator_sets_a_new_password_for_who_forgot_the_old_one(visit: Open, office: Service) -> None:
    one, other = visit(at=office), visit(at=office)
    other.expect_fault("status of 401")
    desk, chief = Desk(other).register("forgot"), Desk(one).go("/admin").sign_in(ADMIN, ADMIN_PASSWORD)
    chief.page.get_by_label("Search").fill(desk.username)
    chief.page.get_by_role("button", name=f"Set a new password for {desk.username}").click()
    dialog = chief.page.get_by_role("dialog")
    dialog.get_by_label("New password").fill(SHORT_PASSWORD)
    dialog.get_by_role("button", name="Set it").click()
    expect(dialog).to_contain_text("At least 8 characters")
    dialog.get_by_label("New password").fill("told by the chief")
    dialog.get_by_role("button", name="Set it").click()
    expect(chief.page.get_by_text(f"{desk.username} has a new password")).to_be_visible()
    # The old one is no longer good, nor is the session.
    desk.go("/history")
    desk.page.reload()
    expect(desk.page.get_by_text("Forgotten the password?")).to_be_visible()
    desk.sign_in(desk.username, "told by the chief")
    expect(desk.page.locator("#who")).to_have_text(desk.username)


def test_a_session_that_ends_asks_to_sign_in_and_goes_on_where_it_was(visit: Open, office: Service) -> None:
    one = visit(at=office)
    one.expect_fault("status of 401")
    desk = Desk(one).register()
    page = desk.go("/history").page
    expect(page.get_by_text("Storage")).to_be_visible()
    one.context.clear_cookies()
    page.get_by_label("Type", exact=True).select_option("ensemble")
    expect(page.get_by_text("You are signed out; sign in to go on.")).to_be_visible()
    desk.sign_in(desk.username)
    expect(page.get_by_role("heading", name="History")).to_be_visible()
    assert page.url.endswith("#/history")


def test_a_second_tab_does_not_break_the_first(visit: Open, office: Service) -> None:
    """Both have one cookie: the second signs in anew, and the proof that the first holds is of the old one."""
    one = visit(at=office)
    # The first change is refused, and sent again with the new proof.
    one.expect_fault("status of 403")
    desk = Desk(one).register()
    second = one.context.new_page()
    second.goto(f"{one.address}/missions#/account")
    second.get_by_role("button", name="Sign out").click()
    second.get_by_label("Username").fill(desk.username)
    second.get_by_label("Password").fill(PASSWORD)
    second.get_by_role("button", name="Sign in", exact=True).click()
    expect(second.locator("#who")).to_have_text(desk.username)
    page = desk.page
    page.evaluate("location.hash = '/account'")
    card = page.locator("section").filter(has=page.get_by_role("heading", name="Name", exact=True))
    card.get_by_label("Name", exact=True).fill("Second Tab")
    card.get_by_role("button").click()
    expect(page.get_by_text("The name is saved")).to_be_visible()


def test_behind_the_password_of_the_service_the_page_is_behind_it_too(visit: Open, locked: Service) -> None:
    one = visit(at=locked)
    one.page.goto(f"{locked.address}/missions")
    expect(one.page.get_by_role("heading", name="HABSIM")).to_be_visible()
    assert "/login" in one.page.url
    one.page.get_by_label("Password").fill("open sesame")
    one.page.get_by_role("button", name="Sign in").click()
    expect(one.page.get_by_label("Username")).to_be_visible()
