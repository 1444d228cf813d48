"""The ensemble: its progress and its end, its layers, the landing zone, and what goes wrong under way."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, expect

from tests.page.conftest import Open
from tests.page.visit import DESKTOP, PHONE, Json, Projection, Screen, Service, Visit, percent, share_inside

both_screens = pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)
TITLE = "Mean landing"
WATCH_PROGRESS = """() => {
  window.said = [];
  new MutationObserver(() => window.said.push(document.querySelector('.progress-text').textContent))
    .observe(document.querySelector('.progress-text'), {childList: true, characterData: true, subtree: true});
}"""


def fly(one: Visit, copies: int = 2) -> None:
    one.choose("ensemble")
    one.page.locator("#perturbations").fill(str(copies))
    one.fly(TITLE)


def flown(one: Visit) -> Json:
    """The answer of the service to the page's last ensemble."""
    return one.service.ask(f"/sim/spaceshot?{urlencode(one.asked('/sim/spaceshot')[-1])}")


def map_of(one: Visit, answer: Json) -> Projection:
    mean = answer["landing"]["mean"]
    return one.projection({".launch-pin": one.launch_place(), ".mean-pin": (mean["lat"], mean["lon"])})


def value(one: Visit, term: str) -> Locator:
    return one.page.locator("#result dt", has_text=re.compile(f"^{term}$")).locator("+ dd")


@both_screens
def test_an_ensemble_is_flown_drawn_and_told(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    fly(one)
    answer = flown(one)
    mean = answer["landing"]["mean"]
    assert one.landing_place() == pytest.approx((mean["lat"], mean["lon"]), abs=1e-5)
    expect(value(one, "Over water")).to_have_text(percent(answer["landing"]["over_water"]))
    expect(value(one, "Landings")).to_have_text("63 (21 members × 3)")
    one.page.get_by_text("The 21 members").click()
    rows = one.page.locator("#result details tbody tr")
    expect(rows).to_have_count(21)
    expect(rows.locator("th")).to_have_text([str(member) for member in range(21)])
    # A landing of the control is where the service says.
    control = next(row for row in answer["heatmap_data"] if row["model_id"] == 0 and row["perturbation_id"] < 0)
    assert one.colour_at(*map_of(one, answer).place(control["lat"], control["lon"]))[3] > 200


@both_screens
def test_contours_are_labelled_where_there_is_room_for_it(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    fly(one)
    labels = one.page.locator(".contour-label")
    one.page.get_by_role("button", name="Zoom to the landings").click()
    expect(labels).to_have_text(["90 %", "70 %", "50 %", "30 %"])
    box = one.page.locator("#map").bounding_box()
    assert box is not None
    for label in labels.all():
        x, y = one.centre(label)
        assert box["x"] < x < box["x"] + box["width"] and box["y"] < y < box["y"] + box["height"]
    one.page.locator("#map").focus()
    for _ in range(40):
        if not labels.count():
            break
        one.page.keyboard.press("-")
        one.page.wait_for_timeout(100)
    expect(labels).to_have_count(0)


def test_over_water_is_said_of_a_launch_over_the_sea(visit: Open, service: Service) -> None:
    one = visit().open(lat=40, lon=-40, at=service.start, run="ensemble", n=1)
    one.has_result(TITLE)
    expect(value(one, "Over water")).to_have_text("100 %")


def test_progress_is_told_while_it_runs(visit: Open) -> None:
    one = visit().open()
    one.page.evaluate(WATCH_PROGRESS)
    one.choose("zpb")
    one.page.locator("#floatHours").fill("24")
    fly(one, copies=100)
    said: list[str] = one.page.evaluate("() => window.said")
    assert any(re.search(r"^Simulating, [\d,]+ of [\d,]+ flights, [\d.]+ %$", text) for text in said), said
    expect(one.page.get_by_role("progressbar")).to_be_hidden()


@both_screens
def test_layers_are_taken_off_and_put_back(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    fly(one)
    one.page.get_by_role("button", name="Zoom to the landings").click()
    for layer in ("Paths", "Landings", "Heat map"):
        before = one.painted()
        box = one.page.locator("#result").get_by_label(layer)
        box.uncheck()
        one.wait(partial(has_changed, one.painted, before), f"{layer} to go")
    for layer, mark in (("Contours", ".contour-label"), ("Mean, 50 and 90 % ellipses", ".mean-pin")):
        box = one.page.locator("#result").get_by_label(layer)
        box.uncheck()
        expect(one.page.locator(mark)).to_have_count(0)
        box.check()
        expect(one.page.locator(mark).first).to_be_visible()
    assert "hide=" in one.page.url


@both_screens
def test_a_zone_drawn_by_clicks_gives_the_share_of_landings_in_it(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    fly(one, copies=5)
    answer = flown(one)
    one.page.get_by_role("button", name="Zoom to the landings").click()
    there = map_of(one, answer)
    x, y = one.centre(".mean-pin")
    # A triangle that leaves some landings out.
    reach = 60 if screen.touch else 90
    corners = [(x - reach, y - 2), (x + reach, y - 4), (x, y + reach)]
    one.page.get_by_role("button", name="Draw a zone").click()
    for corner in corners:
        one.press(*corner)
    one.page.locator("#hint").get_by_role("button", name="Finish").click()
    share = one.page.locator(".zone-share strong")
    expect(share).to_be_visible()
    zone = [tuple(map(float, corner.split(","))) for corner in re.findall(r"zone=([^&]*)", one.page.url)[0].split("_")]
    assert len(zone) == 3
    for (lat, lon), corner in zip(zone, corners, strict=True):
        assert there.place(lat, lon) == pytest.approx(corner, abs=3)
    inside = share_inside([(lat, lon) for lat, lon in zone], answer)
    assert 0 < inside < 1
    expect(share).to_have_text(percent(inside))
    one.page.get_by_role("button", name="Remove it").click()
    expect(share).to_have_count(0)


def test_a_zone_is_drawn_with_the_keyboard_alone(visit: Open) -> None:
    one = visit().open()
    fly(one, copies=5)
    keys = one.page.keyboard
    one.page.get_by_role("button", name="Draw a zone").focus()
    keys.press("Enter")
    expect(one.page.locator("#map")).to_be_focused()
    hint = one.page.locator("#hint")
    expect(hint).to_contain_text("corners")
    centres = []
    for moves in (["ArrowLeft"], ["ArrowRight"] * 5, ["ArrowUp"] * 4, ["ArrowLeft"] * 5):
        for move in moves:
            before = one.centre(".launch-pin")
            keys.press(move)
            one.wait(partial(has_changed, partial(one.centre, ".launch-pin"), before), "the map to move")
            one.wait(lambda: still(one), "the map to stand still")
        keys.press("Enter")
        centres.append(one.centre(".launch-pin"))
    keys.press("Enter")  # again at the same place: the end
    expect(hint).not_to_contain_text("corner")
    share = one.page.locator(".zone-share strong")
    zone = [tuple(map(float, corner.split(","))) for corner in re.findall(r"zone=([^&]*)", one.page.url)[0].split("_")]
    assert len(zone) == 4
    expect(share).to_have_text(percent(share_inside([(lat, lon) for lat, lon in zone], flown(one))))


def has_changed(look: Callable[[], object], before: object) -> bool:
    return look() != before


def still(one: Visit) -> bool:
    before = one.centre(".launch-pin")
    one.page.wait_for_timeout(60)
    return one.centre(".launch-pin") == before


@pytest.mark.parametrize("copies", ["0", "101", "2.5"])
def test_perturbations_outside_1_to_100_are_refused_unsent(visit: Open, copies: str) -> None:
    one = visit().open()
    one.choose("ensemble")
    field = one.page.locator("#perturbations")
    field.fill(copies)
    note = one.page.locator("#perturbations-note")
    expect(note).to_contain_text("whole number" if "." in copies else "it must be 1 to 100")
    field.press("Enter")
    expect(one.page.locator("#run-problem")).to_contain_text("Perturbations is")
    assert one.asked("/sim/spaceshot") == []


@both_screens
def test_the_page_stays_in_hand_while_an_ensemble_runs_and_cancel_ends_it(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    held = one.hold("/sim/spaceshot")
    one.choose("ensemble")
    one.page.locator("#fly").click()
    cancel = one.page.get_by_role("button", name="Cancel", exact=True)
    expect(cancel).to_be_visible()
    # The form and the map answer.
    x, y = one.centre(".launch-pin")
    one.press(x - 50, y - 30)
    expect(one.page.locator("#place")).not_to_have_value("37.35530, -121.87630")
    one.page.locator("#asc").fill("6")
    expect(one.page.locator("#asc-note")).to_contain_text("to 20")
    cancel.click()
    expect(cancel).to_be_hidden()
    expect(one.page.locator("#fly")).to_be_visible()
    held.release()
    one.tab("Result")
    expect(one.page.locator("#result")).to_contain_text("No flight yet")
    fly_again = one.page.locator("#fly")
    fly_again.click()
    one.has_result(TITLE)


def test_a_result_of_a_plan_that_has_changed_under_way_says_so(visit: Open) -> None:
    one = visit().open()
    held = one.hold("/sim/spaceshot")
    one.choose("ensemble")
    one.page.locator("#perturbations").fill("2")
    one.page.locator("#fly").click()
    expect(one.page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    one.page.locator("#place").fill("45, -100")
    one.page.locator("#place").press("Enter")
    held.release()
    # Who types goes on typing.
    expect(one.page.get_by_text("The result has come").first).to_be_visible()
    expect(one.page.locator("#place")).to_be_focused()
    one.tab("Result")
    one.has_result(TITLE)
    stale = one.page.locator("#stale")
    expect(stale).to_be_visible()
    # Whatever is drawn anew.
    one.page.get_by_role("button", name="Use the dark theme").click()
    expect(stale).to_be_visible()
    stale.get_by_role("button", name="Fly again").click()
    expect(stale).to_be_hidden()
    assert [asked["lat"] for asked in one.asked("/sim/spaceshot")] == ["37.3553", "45"]


def test_choosing_another_run_does_not_stop_the_one_under_way(visit: Open) -> None:
    one = visit().open()
    one.fly()
    one.tab("Plan")
    held = one.hold("/sim/spaceshot")
    one.choose("ensemble")
    one.page.locator("#fly").click()
    cancel = one.page.get_by_role("button", name="Cancel", exact=True)
    expect(cancel).to_be_visible()
    one.choose("single")
    one.page.wait_for_timeout(400)
    expect(cancel).to_be_visible()
    held.release()
    expect(one.page.get_by_text("The result has come").first).to_be_visible()
    one.tab("Result")
    one.has_result(TITLE)


def test_floating_flights_end_and_do_not_land(visit: Open) -> None:
    one = visit().open()
    one.choose("float")
    one.choose("ensemble")
    one.page.locator("#perturbations").fill("1")
    one.fly("Mean end of the flight")
    expect(one.page.locator("#result dl")).not_to_contain_text("land")
    expect(one.page.locator("#announcer")).to_contain_text("42 ends of 21 members")


def test_a_member_that_cannot_be_flown_is_named(visit: Open, worn: Service) -> None:
    one = visit(at=worn).open()
    fly(one)
    assert [failed["model_id"] for failed in flown(one)["failed_members"]] == [2]
    expect(value(one, "Left out")).to_have_text("member 2")
    expect(value(one, "Landings")).to_have_text("9 (3 members × 3)")
