"""Simulations in the browser: submitted, watched, cancelled, opened on the map, shared, and what administrators do."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.page.conftest import ADMIN, ADMIN_PASSWORD, Open
from tests.page.desk import Desk
from tests.page.visit import PHONE, Service


def new_flight(desk: Desk, name: str, mode: str = "single") -> None:
    """Fill the form of a new simulation and submit it."""
    page = desk.go("/new").page
    expect(page.get_by_text("Winds cover")).to_be_visible()
    page.locator(f"label[for='mode-{mode}']").click()
    page.get_by_label("Name", exact=True).fill(name)
    desk.press("Submit")
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def test_a_flight_is_submitted_watched_and_opened_on_the_map(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.go("/new").page
    expect(page.get_by_text("Winds cover")).to_be_visible()
    page.locator("label[for='mode-single']").click()
    page.get_by_label("Coordinates").fill("46.95, 7.44")
    page.get_by_label("Coordinates").press("Tab")
    page.get_by_label("Burst altitude").fill("28000")
    page.get_by_label("Name", exact=True).fill("Over Bern")
    page.get_by_label("Description").fill("<b>not bold</b>")
    desk.press("Submit")
    expect(page.get_by_role("heading", name="Over Bern")).to_be_visible()
    expect(page.locator(".badge")).to_have_text("Done")
    expect(page.get_by_text("<b>not bold</b>", exact=True)).to_be_visible()
    page.get_by_role("link", name="Fly again on the map").click()
    one.has_result("Landing")
    assert one.launch_place() == (46.95, 7.44)
    expect(page.locator("#burst")).to_have_value("28000")
    page.go_back()
    desk.go("/simulations")
    expect(desk.row("Over Bern")).to_contain_text("Flight")
    expect(desk.row("Over Bern")).to_contain_text("Done")


def test_a_gas_balloon_of_the_map_is_saved_told_in_words_and_opened_again(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = one.page
    one.open(profile="physical", envelope="hwoyee-800", gas="hydrogen", payload=0.8, fill="lift", lift=7, air="model")
    one.fly()
    page.get_by_role("button", name="Save as simulation").click()
    page.get_by_role("dialog").get_by_label("Name").fill("With hydrogen")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Watch it").click()
    expect(page.locator(".badge")).to_have_text("Done")
    said = "hwoyee-800 with a payload of 0.80 kg, hydrogen to a free lift of 7 N, 5.0 m/s down, through the air of"
    expect(page.locator("dt", has_text="Plan").locator("+ dd")).to_contain_text(said)
    page.get_by_role("link", name="Fly again on the map").click()
    one.has_result("Landing")
    expect(page.locator("#envelope")).to_have_value("hwoyee-800")
    expect(page.locator("#lift")).to_have_value("7")
    expect(page.locator("#air")).to_have_value("model")
    # A new one begins with what was chosen here the last time.
    one.tab("Plan")
    one.choose("standard")
    one.choose("physical")
    page.locator("#payload").fill("0.7")
    desk.go("/new")
    expect(page.locator("#payload")).to_have_value("0.7")
    expect(page.locator(".outcome-line")).to_contain_text("of helium")
    page.get_by_label("Name", exact=True).fill("Lighter")
    desk.press("Submit")
    expect(page.get_by_role("heading", name="Lighter")).to_be_visible()
    expect(page.locator(".badge")).to_have_text("Done")


def test_what_the_form_refuses_is_not_sent(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.go("/new").page
    expect(page.get_by_text("Winds cover")).to_be_visible()
    page.get_by_label("Ascent rate").fill("99")
    desk.press("Submit")
    expect(page.locator("#submit-problem")).to_contain_text("must be 0.1 to 20 m/s")
    expect(page.get_by_label("Ascent rate")).to_be_focused()
    page.get_by_label("Ascent rate").fill("5")
    page.get_by_label("UTC", exact=True).fill("2020-01-01T00:00")
    desk.press("Submit")
    expect(page.locator("#submit-problem")).to_contain_text("the winds cover")
    assert one.asked("/api/v1/simulations/submit") == []


def test_what_waits_can_be_cancelled_found_and_deleted(visit: Open, idle: Service) -> None:
    one = visit(PHONE, at=idle)
    desk = Desk(one).register("waiter")
    page = desk.page
    for number in (1, 2):
        new_flight(desk, f"Waits {number}", "ensemble")
        expect(page.locator(".badge")).to_have_text("Waiting")
    desk.go("/simulations")
    expect(desk.row("Waits 1")).to_be_visible()
    page.get_by_role("button", name="Cancel Waits 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it running").click()
    expect(desk.row("Waits 1")).to_contain_text("Waiting")
    page.get_by_role("button", name="Cancel Waits 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel it").click()
    expect(desk.row("Waits 1")).to_contain_text("Cancelled")
    page.get_by_label("Status", exact=True).select_option("pending")
    expect(desk.row("Waits 1")).to_have_count(0)
    expect(desk.row("Waits 2")).to_be_visible()
    page.get_by_label("Status", exact=True).select_option("cancelled")
    page.get_by_role("button", name="Delete Waits 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("No simulations here yet")).to_be_visible()


def test_the_list_looks_again_by_itself_and_not_while_it_is_hidden(visit: Open, idle: Service) -> None:
    one = visit(at=idle)
    desk = Desk(one).register("watcher")
    new_flight(desk, "Watched")
    desk.go("/simulations")
    count = len(one.asked("/api/v1/simulations/"))
    one.wait(lambda: len(one.asked("/api/v1/simulations/")) >= count + 3, "three more looks")
    hidden = "Object.defineProperty(document, 'hidden', { get: () => %s, configurable: true });"
    one.page.evaluate(hidden % "true" + "document.dispatchEvent(new Event('visibilitychange'))")
    one.page.wait_for_timeout(300)
    count = len(one.asked("/api/v1/simulations/"))
    one.page.wait_for_timeout(2500)
    assert len(one.asked("/api/v1/simulations/")) == count
    one.page.evaluate(hidden % "false" + "document.dispatchEvent(new Event('visibilitychange'))")
    one.wait(lambda: len(one.asked("/api/v1/simulations/")) > count, "a look at the return")


def test_the_plan_of_the_map_is_saved_as_a_simulation(visit: Open, office: Service) -> None:
    one = visit(at=office)
    one.open().fly()
    expect(one.page.locator("#save")).to_have_count(0)
    desk = Desk(one).register()
    page = one.page
    page.get_by_role("link", name="Map", exact=True).click()
    one.choose("ensemble")
    one.page.locator("#perturbations").fill("3")
    one.fly("Mean landing")
    page.get_by_role("button", name="Save as simulation").click()
    page.get_by_role("dialog").get_by_label("Name").fill("From the map")
    one.keep("save-dialog")
    assert one.violations() == []
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Watch it").click()
    expect(page.get_by_role("heading", name="From the map")).to_be_visible()
    expect(page.locator(".badge")).to_have_text("Done")
    page.get_by_role("link", name="Fly again on the map").click()
    one.has_result("Mean landing")
    expect(one.page.locator("#perturbations")).to_have_value("3")
    desk.go("/simulations")
    expect(desk.row("From the map")).to_contain_text("Ensemble")


def test_an_organisation_sees_what_is_shared_with_it_and_nothing_else(visit: Open, office: Service) -> None:
    one, other, third = (visit(at=office) for _ in range(3))
    author, reader = Desk(one).register("author"), Desk(other).register("reader")
    chief = Desk(third).go("/admin").sign_in(ADMIN, ADMIN_PASSWORD)
    page = chief.page
    expect(chief.row(ADMIN).first).to_be_visible()
    page.get_by_label("New organisation").fill(f"Club of {author.username}")
    chief.press("Add")
    expect(chief.row(f"Club of {author.username}").first).to_be_visible()
    for who in (author, reader):
        page.get_by_label("Search").fill(who.username)
        choice = page.get_by_label(f"Organisation of {who.username}")
        choice.select_option(f"Club of {author.username}")
        expect(page.get_by_text(f"{who.username} is changed")).to_be_visible()
    # Who is in an organisation since the page was loaded loads it again.
    author.page.reload()
    new_flight(author, "For all of us")
    expect(author.page.locator(".badge")).to_have_text("Done")
    reader.go("/history")
    reader.page.locator("label[for='of-organization']").click()
    expect(reader.page.get_by_text("Nothing is shared here.")).to_be_visible()
    author.press("Name and share")
    author.page.get_by_label(f"Share with Club of {author.username}").check()
    author.press("Save")
    expect(author.page.get_by_text("with the organisation")).to_be_visible()
    reader.go("/simulations")
    row = reader.row("For all of us")
    expect(row).to_contain_text(f"by {author.username}")
    expect(row).to_contain_text("shared")
    expect(row.get_by_role("button", name="Delete For all of us")).to_have_count(0)
    reader.go("/history")
    reader.page.locator("label[for='of-organization']").click()
    expect(reader.row("For all of us")).to_be_visible()
    with reader.page.expect_download() as started:
        reader.page.get_by_role("link", name="Export CSV").click()
    assert "For all of us" in Path(started.value.path()).read_text(encoding="utf-8")
    # Who is no longer active is out.
    other.expect_fault("status of 401")
    page.get_by_label("Search").fill(reader.username)
    active = page.get_by_label(f"{reader.username} is active")
    active.click()
    chief.press("Cancel")
    expect(active).to_be_checked()
    active.click()
    chief.press("Deactivate")
    expect(page.get_by_text(f"{reader.username} is changed").last).to_be_visible()
    reader.page.get_by_label("Status", exact=True).select_option("completed")
    expect(reader.page.get_by_text("This account is not active; ask an administrator")).to_be_visible()


def test_only_administrators_see_the_administration(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register().go("/admin")
    expect(desk.page.get_by_text("Only administrators see this.")).to_be_visible()
    expect(desk.page.get_by_role("navigation", name="Missions").get_by_role("link", name="Admin")).to_have_count(0)


def test_nobody_sees_the_simulation_of_a_stranger(visit: Open, office: Service) -> None:
    one, other = visit(at=office), visit(at=office)
    desk = Desk(one).register()
    new_flight(desk, "Mine alone")
    expect(one.page.locator(".badge")).to_have_text("Done")
    other.expect_fault("status of 404")
    stranger = Desk(other).register()
    stranger.go(one.page.url.split("#")[1])
    expect(stranger.page.locator("#view [role=status]").first).to_contain_text("there is no simulation")
