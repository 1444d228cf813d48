"""For all people: without a mouse, with a screen reader, on any screen. Keeps a picture of each state of the page."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.page.conftest import Open
from tests.page.visit import DESKTOP, PHONE, Screen, Service, Theme, Visit

both_screens = pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)
both_themes = pytest.mark.parametrize("theme", ["light", "dark"])
MODES = {"single": "Landing", "ensemble": "Mean landing", "sweep": "5 launch times"}


def is_for_all(one: Visit, group: str) -> list[str]:
    """Keep a picture, and say what is wrong with this state of the page."""
    one.keep(group)
    wrong = one.violations()
    if one.overflow_px() > 0:
        wrong.append(f"{one.overflow_px()} px wider than the screen")
    if one.page.evaluate("() => document.documentElement.scrollHeight > innerHeight + 1"):
        wrong.append("higher than the screen")
    return [f"{group}: {text}" for text in wrong]


@both_screens
@both_themes
def test_no_state_of_the_page_shuts_anybody_out(visit: Open, service: Service, screen: Screen, theme: Theme) -> None:
    one = visit(screen, theme)
    start = service.start
    wrong: list[str] = []
    one.open()
    wrong += is_for_all(one, "plan")
    one.choose("zpb")
    one.page.locator("#asc").fill("99")
    one.page.locator("#asc").press("Enter")
    expect(one.page.locator("#run-problem")).not_to_be_empty()
    wrong += is_for_all(one, "refused")
    one.choose("standard")
    one.page.locator("#asc").fill("5")
    for mode, title in MODES.items():
        one.open(at=start, run=mode, n=5, from_=start, to=start + 4 * 3600, every=60)
        one.has_result(title)
        if mode == "sweep":
            one.page.get_by_title("Show this flight").first.click()
            expect(one.page.locator(".landing-pin")).to_be_visible()
        wrong += is_for_all(one, mode)
    one.tab("Wind")
    one.page.get_by_role("button", name="At the launch").click()
    expect(one.page.locator("#wind canvas").first).to_be_visible()
    wrong += is_for_all(one, "wind")
    one.page.locator("#service").click()
    expect(one.page.get_by_role("dialog")).to_be_visible()
    wrong += is_for_all(one, "service")
    assert not wrong, "\n".join(wrong)


@both_screens
@both_themes
def test_the_login_shuts_nobody_out(visit: Open, locked: Service, screen: Screen, theme: Theme) -> None:
    one = visit(screen, theme, at=locked)
    one.expect_fault("status of 401")
    one.page.goto(f"{locked.address}/")
    wrong = is_for_all(one, "login")
    one.page.get_by_label("Password").fill("wrong")
    one.page.get_by_role("button", name="Sign in").click()
    expect(one.page.get_by_role("alert")).to_be_visible()
    assert wrong + is_for_all(one, "login-refused") == []


def test_all_of_the_page_is_reached_and_flown_with_the_keyboard(visit: Open) -> None:
    one = visit().open()
    keys = one.page.keyboard
    passed: list[str] = []
    while "fly" not in passed:
        keys.press("Tab")
        name: str = one.page.evaluate(
            "() => { const e = document.activeElement; return e.id || e.getAttribute('aria-label') || e.className; }"
        )
        passed.append(name)
        assert len(passed) < 90, passed
    wanted = {"service", "units", "theme", "map", "tab-plan", "place", "Use my position", "sites", "alt", "time-utc"}
    wanted |= {"time-local", "now", "asc", "burst", "desc", "Wind at a point", "Draw a landing zone", "Base map"}
    assert wanted <= set(passed), wanted - set(passed)
    assert {"profile-standard", "mode-single"} <= set(passed)
    keys.press("Enter")
    one.has_result("Landing")
    expect(one.page.locator("#fly")).to_be_focused()
    # Tabs are walked through with the arrow keys.
    one.page.get_by_role("tab", name="Result").focus()
    keys.press("ArrowRight")
    expect(one.page.get_by_role("tab", name="Wind")).to_be_focused()
    expect(one.page.locator("#wind")).to_be_visible()
    keys.press("ArrowRight")
    expect(one.page.locator("#plan")).to_be_visible()
    keys.press("Tab")
    # Enter in a field flies too, and so do profile and mode with the arrows.
    one.page.locator("#mode-single").focus()
    keys.press("ArrowRight")
    expect(one.page.locator("#fly")).to_have_text("Fly the ensemble")
    one.page.locator("#perturbations").fill("2")
    keys.press("Enter")
    one.has_result("Mean landing")


def test_enter_at_the_cross_of_the_map_sets_the_launch(visit: Open) -> None:
    one = visit().open()
    one.page.locator("#map").focus()
    x, _ = one.centre(".launch-pin")
    one.page.keyboard.press("ArrowRight")
    one.wait(lambda: one.centre(".launch-pin")[0] < x - 70, "the map to move")
    one.page.keyboard.press("Enter")
    expect(one.page.locator("#place")).not_to_have_value("37.35530, -121.87630")
    assert one.launch_place()[1] > -121.8763


def test_the_skip_link_leads_to_the_plan(visit: Open) -> None:
    one = visit().open()
    one.page.keyboard.press("Tab")
    skip = one.page.get_by_role("link", name="Skip to the flight plan")
    expect(skip).to_be_focused()
    one.page.keyboard.press("Enter")
    expect(one.page.locator("#panel")).to_be_focused()
    one.fly()


def test_the_focus_stays_at_the_button_that_runs_and_stops(visit: Open) -> None:
    one = visit().open()
    one.choose("ensemble")
    held = one.hold("/sim/spaceshot")
    one.page.locator("#fly").focus()
    one.page.keyboard.press("Enter")
    expect(one.page.get_by_role("button", name="Cancel", exact=True)).to_be_focused()
    held.release()
    one.has_result("Mean landing")
    expect(one.page.locator("#fly")).to_be_focused()


def test_what_happened_is_said_to_screen_readers(visit: Open) -> None:
    one = visit().open()
    one.fly()
    said = one.page.locator("#announcer")
    expect(said).to_contain_text("Landing at")
    one.tab("Plan")
    one.choose("ensemble")
    one.page.locator("#perturbations").fill("1")
    one.fly("Mean landing")
    expect(said).to_contain_text("42 landings of 21 members")


def test_a_phone_on_its_side_shows_map_and_form_beside_each_other(visit: Open, service: Service) -> None:
    one = visit(Screen("side", 844, 390, touch=True)).open(at=service.start, run="ensemble", n=2)
    one.has_result(MODES["ensemble"])
    one.keep("ensemble")
    box = one.page.locator(".pages").bounding_box()
    assert box is not None and box["height"] > 150
    tools = one.page.get_by_role("toolbar", name="Map tools").get_by_role("button")
    for tool in tools.filter(visible=True).all():
        # Nothing lies over it.
        tool.click(trial=True)


@pytest.mark.parametrize("width", [320, 360, 2560])
@both_themes
def test_no_width_of_the_screen_breaks_the_page(visit: Open, service: Service, width: int, theme: Theme) -> None:
    screen = Screen(f"{width}", width, 1440 if width > 1000 else 740, touch=width < 1000)
    one = visit(screen, theme)
    one.open()
    one.keep("plan")
    assert one.overflow_px() <= 0
    start = service.start
    for mode in ("ensemble", "single"):
        one.open(at=start, run=mode, n=2)
        one.has_result(MODES[mode])
        one.keep(mode)
        assert one.overflow_px() <= 0
        assert sideways(one.page.locator(".pages")) <= 0
    area = one.page.locator("#map").bounding_box()
    assert area is not None
    if width > 1000:
        assert area["width"] > 0.6 * width and area["height"] > 600
    else:
        assert area["width"] == width and area["height"] > 200
    expect(one.page.locator("#fly")).to_be_in_viewport()


def sideways(place: Locator) -> int:
    """How many px of an element can be scrolled to sideways only."""
    hidden: int = place.evaluate("(element) => element.scrollWidth - element.clientWidth")
    return hidden


def test_the_theme_is_chosen_and_kept(visit: Open) -> None:
    one = visit().open()
    root = one.page.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    one.page.get_by_role("button", name="Use the dark theme").click()
    expect(root).to_have_attribute("data-theme", "dark")
    one.page.reload()
    expect(root).to_have_attribute("data-theme", "dark")
