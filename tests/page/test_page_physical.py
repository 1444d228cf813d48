"""A gas balloon on the map page: its fields, what it will do, and its flights."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.page.conftest import Open
from tests.page.visit import DESKTOP, PHONE, Screen, Visit, downloaded

both_screens = pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)


def outcome(one: Visit) -> Locator:
    return one.page.locator(".outcome-line")


def gas_balloon(one: Visit) -> None:
    """Choose a gas balloon, and wait until all of its form is there."""
    one.choose("physical")
    expect(one.page.locator("#envelope optgroup").first).to_be_attached()
    expect(outcome(one)).to_contain_text("Climbs at 5.0 m/s at the launch")


@both_screens
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_filled_and_flown(visit: Open, screen: Screen, theme: str) -> None:
    one = visit(screen, theme).open()
    page = one.page
    gas_balloon(one)
    for name in ("asc", "desc", "payload"):
        expect(page.locator(f"#{name}")).to_be_visible()
    for name in ("burst", "float", "volume", "afloat", "chute"):
        expect(page.locator(f"#{name}")).to_have_count(0)
    page.get_by_label("Envelope").select_option("hwoyee-800")
    page.get_by_label("Gas", exact=True).select_option("hydrogen")
    page.locator("#payload").fill("0.8")
    page.get_by_label("Filled for").select_option("Free lift")
    page.locator("#lift").fill("7")
    page.get_by_label("Comes down by").select_option("Parachute")
    page.locator("#chute").fill("1.2")
    specs = one.service.server
    expect(outcome(one)).to_contain_text("of hydrogen, 1 cylinder")
    expect(outcome(one)).to_contain_text("Comes down at 3.9 m/s")
    one.page.locator("#envelope").scroll_into_view_if_needed()
    one.keep("gas-balloon")
    assert one.violations() == []
    assert one.overflow_px() <= 0
    del specs
    one.fly()
    one.keep("gas-balloon-flown")
