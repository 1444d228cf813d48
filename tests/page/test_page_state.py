"""What the page says of the service and its winds, and what it does while the service is away."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import GROUND, PASSWORD, Open
from tests.page.visit import Service, Visit, address_of, plan_hash
from tests.proxy import Fault, Proxy
from tests.serving import HOST, serving

UNREACHABLE = r"ERR_(CONNECTION_REFUSED|EMPTY_RESPONSE|CONNECTION_RESET|INCOMPLETE_CHUNKED_ENCODING)"
TITLE = "Mean landing"


@pytest.fixture
def line(service: Service) -> Iterator[Proxy]:
    """The network between the browser and the service."""
    with Proxy(service.server.port) as proxy:
        yield proxy


def through(line: Proxy) -> str:
    return f"http://{HOST}:{line.port}"


def test_demo_winds_are_named_everywhere(visit: Open) -> None:
    one = visit().open()
    expect(one.page.locator("#service-text")).to_have_text("Demo winds")
    expect(one.page.locator("#banner")).to_contain_text("not a forecast")
    one.fly()
    expect(one.page.locator("#result")).to_contain_text("Demo winds, not a forecast")
    one.page.locator("#service").click()
    dialog = one.page.get_by_role("dialog")
    expect(dialog).to_contain_text("demo, not a forecast")
    expect(dialog.locator("dt", has_text="Members").locator("+ dd")).to_have_text("21")
    one.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_old_winds_and_missing_members_are_said(visit: Open, worn: Service) -> None:
    one = visit(at=worn).open()
    banner = one.page.locator("#banner")
    expect(banner).to_contain_text("17 of 21 members are missing")
    expect(banner).to_contain_text("newer ones have not come")
    expect(one.page.locator("#service")).to_have_attribute("data-state", "worse")
    one.page.locator("#service").click()
    dialog = one.page.get_by_role("dialog")
    expect(dialog.locator("dt", has_text="Members").locator("+ dd")).to_have_text("4 of 21")
    expect(dialog.locator("dt", has_text="Age").locator("+ dd")).to_contain_text("older than it should be")


def test_without_winds_the_page_says_so(visit: Open, tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    with serving(tmp_path, HABSIM_WEB_WORKERS="1") as server:
        one = visit(at=Service(server, address_of(server)))
        one.expect_fault("status of 503")
        one.open()
        expect(one.page.locator("#service-text")).to_have_text("No winds")
        expect(one.page.locator("#banner")).to_contain_text(re.compile("no .*cycle", re.IGNORECASE))
        one.page.locator("#fly").click()
        expect(one.page.locator("#run-problem")).to_contain_text(re.compile("no .*cycle", re.IGNORECASE))
        one.context.close()


def test_a_stopped_server_is_said_and_what_was_asked_meanwhile_completes_when_it_is_back(
    visit: Open, demo_bucket: Path, tmp_path: Path
) -> None:
    settings = {"HABSIM_BUCKET_DIR": str(demo_bucket), "HABSIM_ELEVATION": str(GROUND), "HABSIM_WEB_WORKERS": "1"}
    with serving(tmp_path, **settings) as first, Proxy(first.port) as line:
        one = visit(at=Service(first, through(line)))
        one.expect_fault(UNREACHABLE)
        one.open()
        one.fly()
        shown = one.landing_place()
        with line.refused():
            first.stop()
            banner = one.page.locator("#banner")
            one.tab("Plan")
            one.choose("ensemble")
            one.page.locator("#fly").click()
            expect(one.page.locator(".progress-text")).to_have_text("The server cannot be reached; trying again")
            # The page looks every 30 s, and at once when it comes to the front.
            one.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
            expect(banner).to_contain_text("The server cannot be reached. What is shown stays; trying again.")
            expect(one.page.locator("#service-text")).to_have_text("Server away")
            one.tab("Result")
            assert one.landing_place() == shown
        with serving(tmp_path, **settings) as second:
            line.upstream = (HOST, second.port)
            one.has_result(TITLE)
            expect(banner).not_to_contain_text("cannot be reached")
            expect(one.page.locator("#service-text")).to_have_text("Demo winds")
            one.context.close()


def test_a_progress_stream_that_is_cut_is_taken_up_again(visit: Open) -> None:
    one = visit().open()
    event = {"status": "simulating", "completed": 5, "total": 441, "percentage": 1.1}
    streams: list[str] = []

    def cut_the_first(route: Route) -> None:
        streams.append(route.request.url)
        if len(streams) > 1:
            route.continue_()
        else:
            body = f"retry: 100\n\nid: 5\ndata: {json.dumps(event)}\n\n"
            route.fulfill(content_type="text/event-stream", body=body)

    one.page.route("**/sim/progress-stream*", cut_the_first)
    held = one.hold("/sim/spaceshot")
    one.choose("ensemble")
    one.page.locator("#fly").click()
    expect(one.page.locator(".progress-text")).to_have_text("Simulating, 5 of 441 flights, 1.1 %")
    one.wait(lambda: len(streams) > 1, "the stream to be asked for again")
    held.release()
    one.has_result(TITLE)


def test_winds_that_are_loaded_and_a_stream_that_is_refused_first(visit: Open) -> None:
    one = visit().open()
    one.expect_fault("status of 503")
    event = {"status": "loading", "completed": 0, "total": 441, "percentage": 0, "bytes_loaded": 2_500_000}
    streams: list[str] = []

    def refuse_the_first(route: Route) -> None:
        streams.append(route.request.url)
        if len(streams) == 1:
            route.fulfill(status=503, body="")
        else:
            body = f"retry: 60000\n\nid: 5\ndata: {json.dumps({**event, 'bytes_total': 10_000_000})}\n\n"
            route.fulfill(content_type="text/event-stream", body=body)

    one.page.route("**/sim/progress-stream*", refuse_the_first)
    held = one.hold("/sim/spaceshot")
    one.choose("ensemble")
    one.page.locator("#fly").click()
    expect(one.page.locator(".progress-text")).to_have_text("Loading winds, 2.5 MB of 10.0 MB")
    expect(one.page.locator("#announcer")).to_contain_text("Loading winds")
    expect(one.page.get_by_role("progressbar")).to_have_attribute("value", "25")
    held.release()
    one.has_result(TITLE)


def test_an_answer_that_is_lost_on_the_way_is_asked_for_again(visit: Open, line: Proxy) -> None:
    one = visit(address=through(line))
    one.expect_fault(UNREACHABLE)
    one.open()
    one.choose("ensemble")
    # Chromium itself asks again for each of at most 6 connections that were open before.
    line.add(Fault("lost"), times=8, when=lambda request: request.target.startswith("/sim/spaceshot"))
    one.fly(TITLE)
    questions = one.asked("/sim/spaceshot")
    assert len(questions) > 1 and all(question == questions[0] for question in questions)


def test_a_login_leads_back_to_the_plan_of_the_link(visit: Open, locked: Service) -> None:
    one = visit(at=locked)
    link = plan_hash(lat=45.5, lon=-100.25, at=locked_start(), asc=6.5, run="single")
    one.page.goto(f"{locked.address}/{link}")
    one.page.get_by_label("Password").fill("wrong")
    one.expect_fault("status of 401")
    one.page.get_by_role("button", name="Sign in").click()
    expect(one.page.get_by_text("That is not the password.")).to_be_visible()
    one.page.get_by_label("Password").fill(PASSWORD)
    one.page.get_by_role("button", name="Sign in").click()
    one.has_result("Landing")
    asked = one.asked("/sim/singlezpb")[-1]
    assert (asked["lat"], asked["lon"], asked["asc"]) == ("45.5", "-100.25", "6.5")


def test_a_session_that_ends_while_the_page_is_open_leads_through_the_login_back_to_the_plan(
    visit: Open, locked: Service
) -> None:
    one = visit(at=locked)
    one.expect_fault("status of 401")
    one.page.goto(f"{locked.address}/{plan_hash(lat=45.5, lon=-100.25, at=locked_start(), run='single')}")
    sign_in(one.page)
    one.has_result("Landing")
    one.context.clear_cookies()
    one.page.locator("#fly").click()
    sign_in(one.page)
    one.has_result("Landing")
    assert one.asked("/sim/singlezpb")[-1]["lat"] == "45.5"


def sign_in(page: Page) -> None:
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def locked_start() -> int:
    """A launch that the demo winds, which begin in the last six hours, cover."""
    return round(time.time() / 3600 + 24) * 3600


LOOK_AGAIN = "() => document.dispatchEvent(new Event('visibilitychange'))"


def test_looking_at_the_service_again_changes_nothing_under_the_hands(visit: Open) -> None:
    one = visit().open()
    one.choose("ensemble")
    field = one.page.locator("#perturbations")
    field.fill("100000")
    one.page.locator("#time-utc").fill("2031-01-01T00:00")
    field.focus()
    looks = len(one.asked("/sim/status"))
    one.page.evaluate(LOOK_AGAIN)
    one.wait(lambda: len(one.asked("/sim/status")) > looks, "another look")
    one.page.wait_for_timeout(200)
    expect(field).to_be_focused()
    expect(field).to_have_value("100000")
    expect(one.page.locator("#perturbations-note")).to_contain_text("it must be 1 to 100")
    expect(one.page.locator("#time-utc")).to_have_value("2031-01-01T00:00")
    place = one.page.locator("#place")
    place.fill("48.2, ")
    one.page.evaluate(LOOK_AGAIN)
    one.wait(lambda: len(one.asked("/sim/status")) > looks + 1, "another look")
    one.page.wait_for_timeout(200)
    expect(place).to_have_value("48.2, ")


def test_a_link_that_is_opened_while_the_server_is_away_is_flown_when_it_is_back(visit: Open) -> None:
    one = visit()
    one.expect_fault("ERR_FAILED")
    away = True

    def fail_while_away(route: Route) -> None:
        if away:
            route.abort()
        else:
            route.continue_()

    one.page.route("**/sim/**", fail_while_away)
    one.page.goto(f"{one.address}/{plan_hash(lat=45.5, lon=-100.25, at=locked_start(), run='single')}")
    expect(one.page.locator("#service-text")).to_have_text("Server away")
    away = False
    one.has_result("Landing")
    assert one.asked("/sim/singlezpb")[-1]["lat"] == "45.5"


def test_online_maps_that_cannot_be_reached_leave_the_built_in_map_and_say_so(visit: Open) -> None:
    one = visit()
    one.context.route(re.compile(r"^https://"), lambda route: route.abort())
    one.expect_fault(r"asked another host: https://([abc]\.)?tile\.open\w+\.org/")
    one.expect_fault(r"ERR_FAILED \(https://([abc]\.)?tile\.open\w+\.org/")
    one.open()
    bases = one.page.get_by_label("Base map")
    for name, text in (("Streets", "The street map cannot be reached"), ("Terrain", "terrain map cannot be reached")):
        bases.select_option(name)
        expect(one.page.locator("#toasts")).to_contain_text(re.compile(text, re.IGNORECASE))
        expect(one.page.locator("#toasts")).to_contain_text("the built-in map is shown")
        # Land or sea is painted in the middle of it.
        assert built_in_is_painted(one)
    one.fly()


def built_in_is_painted(one: Visit) -> bool:
    """Whether land and sea are there: the map is open at a coast."""
    colours: int = one.page.evaluate(
        """() => new Set([...document.querySelectorAll('.leaflet-tile-pane canvas')].flatMap((tile) =>
        [32, 96, 160, 224].map((x) => String(tile.getContext('2d').getImageData(x, 100, 1, 1).data)))).size"""
    )
    return colours > 1
