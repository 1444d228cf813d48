"""The missions page for all people: on any screen, in both themes, with the keyboard. Keeps a picture of each view."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.page.conftest import ADMIN, ADMIN_PASSWORD, Open
from tests.page.desk import SHORT_PASSWORD, Desk
from tests.page.visit import DESKTOP, PHONE, SMALL, Screen, Service, Theme

HUGE = Screen("huge", 2560, 1440)


@pytest.mark.parametrize("screen", [SMALL, DESKTOP, HUGE], ids=lambda screen: screen.name)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_view_shuts_anybody_out(visit: Open, office: Service, screen: Screen, theme: Theme) -> None:
    one = visit(screen, theme, at=office)
    desk = Desk(one).go("/simulations")
    page = desk.page
    wrong = desk.wrong("sign-in")
    page.get_by_role("button", name="Register").click()
    desk.fill(Username="x", Password=SHORT_PASSWORD)
    page.get_by_role("button", name="Register", exact=True).click()
    expect(page.get_by_text("At least 8 characters")).to_be_visible()
    wrong += desk.wrong("register-refused")
    desk.go("/balloon")
    expect(page.get_by_text("Bursts at")).to_be_visible()
    wrong += desk.wrong("balloon")
    desk.go("/simulations").sign_in(ADMIN, ADMIN_PASSWORD)
    expect(page.locator("#who")).to_have_text(ADMIN)
    desk.go("/new")
    expect(page.get_by_text("Winds cover")).to_be_visible()
    wrong += desk.wrong("new")
    page.get_by_label("Name", exact=True).fill("A flight to look at")
    desk.press("Submit")
    expect(page.get_by_role("heading", name="A flight to look at")).to_be_visible()
    expect(page.locator(".badge")).to_have_text("Done")
    wrong += desk.wrong("simulation")
    desk.go("/reverse")
    expect(page.locator(".size")).to_contain_text("flights")
    wrong += desk.wrong("reverse")
    page.get_by_label("Spacing", exact=True).fill("25")
    page.get_by_label("Name", exact=True).last.fill("A search to look at")
    desk.press("Search")
    expect(page.get_by_role("heading", name="Best launches")).to_be_visible()
    page.wait_for_timeout(600)  # the map's tiles
    wrong += desk.wrong("found")
    page.locator("#view").evaluate("(e) => e.scrollTo(0, 400)")
    desk.visit.keep("missions-found-below")
    desk.go("/simulations")
    expect(desk.row("A search to look at").first).to_be_visible()
    wrong += desk.wrong("simulations")
    desk.go("/history")
    expect(page.get_by_text("Storage")).to_be_visible()
    wrong += desk.wrong("history")
    desk.go("/admin")
    expect(desk.row(ADMIN).first).to_be_visible()
    wrong += desk.wrong("admin")
    desk.go("/account")
    expect(page.get_by_role("heading", name="Password")).to_be_visible()
    wrong += desk.wrong("account")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)
def test_the_calculator_in_the_form_of_the_map(visit: Open, office: Service, screen: Screen) -> None:
    one = visit(screen, at=office).open()
    page = one.page
    page.get_by_role("button", name="From balloon and payload").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Bursts at")).to_be_visible()
    one.keep("balloon-dialog")
    assert one.violations() == []
    dialog.get_by_label("Payload", exact=True).fill("2")
    expect(dialog.locator(".figure strong").first).not_to_be_empty()
    page.wait_for_timeout(600)
    burst = dialog.locator(".figure strong").first.inner_text()
    dialog.get_by_role("button", name="Use its mean ascent rate").click()
    expect(page.locator("#burst")).to_have_value(burst.replace(",", "").removesuffix(" m"))
    expect(page.locator("#asc")).not_to_have_value("5")
    one.fly()
