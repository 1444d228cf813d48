"""A gas balloon on the map page: its fields, what it will do, and its flights."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Locator, expect

from tests.page.conftest import Open
from tests.page.visit import DESKTOP, PHONE, Json, Screen, Theme, Visit, downloaded, duration

both_screens = pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)
NUMBERS = ("asc", "burst", "volume", "lift", "desc", "chute", "float", "floatHours", "afloat", "payload")


def outcome(one: Visit) -> Locator:
    """The line that says what it will do."""
    return one.page.locator(".outcome-line")


def sized(one: Visit, **body: object) -> Json:
    """What the service says of a balloon."""
    answer = one.context.request.post(f"{one.address}/api/v1/balloon-specs", data=body)
    assert answer.ok, answer.text()
    return answer.json()


def gas_balloon(one: Visit) -> None:
    """Choose a gas balloon, and wait until all of its form is there."""
    one.choose("physical")
    expect(one.page.locator("#envelope optgroup").first).to_be_attached()
    expect(outcome(one)).to_contain_text("Climbs at 5.0 m/s at the launch")


def shown(one: Visit) -> set[str]:
    return {name for name in NUMBERS if one.page.locator(f"#{name}").is_visible()}


@both_screens
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_filled_sized_and_flown(visit: Open, screen: Screen, theme: Theme) -> None:
    one = visit(screen, theme).open()
    page = one.page
    gas_balloon(one)
    assert shown(one) == {"payload", "asc", "desc"}
    page.get_by_label("Envelope").select_option("hwoyee-800")
    page.get_by_label("Gas", exact=True).select_option("hydrogen")
    page.locator("#payload").fill("0.8")
    page.get_by_label("Filled for").select_option("Free lift")
    page.locator("#lift").fill("7")
    page.get_by_label("Comes down by").select_option("Parachute")
    page.locator("#chute").fill("1.2")
    assert shown(one) == {"payload", "lift", "chute"}
    balloon = {"envelope": "hwoyee-800", "lift_gas_type": "hydrogen", "payload_mass": 0.8}
    place = dict(zip(("lat", "lon"), map(str, one.launch_place()), strict=True))
    ground = one.service.ask("/sim/elev", **place)["elevation"]
    specs = sized(one, **balloon, free_lift=7, chute_diameter=1.2, launch_altitude=ground)
    expect(outcome(one)).to_have_text(
        f"Climbs at {specs['ascent_rate']:.1f} m/s at the launch and {specs['mean_ascent_rate']:.1f} m/s on average. "
        f"Bursts at {specs['burst_altitude']:,.0f} m, after {duration(specs['ascent_seconds'])}. "
        f"Takes {specs['volume']:.2f} m³ of hydrogen, 1 cylinder (50l): fill it until the neck lifts "
        f"{specs['neck_lift_g'] / 1000:.2f} kg. Comes down at {specs['descent_rate']:.1f} m/s."
    )
    outcome(one).scroll_into_view_if_needed()
    one.keep("gas-balloon")
    assert one.violations() == []
    assert one.overflow_px() <= 0
    one.fly()
    asked = one.asked("/sim/singlezpb")[-1]
    assert {name: asked[name] for name in ("profile", "envelope", "lift_gas_type", "atmosphere")} == {
        "profile": "physical",
        "envelope": "hwoyee-800",
        "lift_gas_type": "hydrogen",
        "atmosphere": "standard",
    }
    numbers = {name: float(asked[name]) for name in ("payload_mass", "free_lift", "chute_diameter", "eqtime")}
    assert numbers == {"payload_mass": 0.8, "free_lift": 7, "chute_diameter": 1.2, "eqtime": 0}
    assert not {"asc", "desc", "equil", "volume"} & asked.keys()
    highest = page.locator("#result dt", has_text="Highest").locator("+ dd").inner_text()
    assert float(highest.replace(",", "").removesuffix(" m")) == pytest.approx(specs["burst_altitude"], abs=2)
    said = "hwoyee-800 with a payload of 0.80 kg, hydrogen to a free lift of 7 N, parachute of 1.2 m"
    expect(page.locator("#result")).to_contain_text(said)
    assert said in downloaded(one, "KML")
    assert downloaded(one, "CSV").count(",ascent,") > 10


@both_screens
def test_an_ensemble_of_it_is_perturbed_and_linked(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    gas_balloon(one)
    one.choose("ensemble")
    one.page.locator("#perturbations").fill("4")
    one.fly("Mean landing")
    asked = one.asked("/sim/spaceshot")[-1]
    assert (asked["profile"], asked["asc"], asked["num_perturbations"]) == ("physical", "5", "4")
    answer = one.service.ask("/sim/spaceshot", **asked)
    mean = answer["landing"]["mean"]
    assert one.landing_place() == pytest.approx((mean["lat"], mean["lon"]), abs=1e-4)
    one.keep("gas-balloon-ensemble")
    link = one.page.evaluate("location.hash")
    other = visit(screen)
    other.page.goto(f"{other.address}/{link}")
    other.has_result("Mean landing")
    again = other.asked("/sim/spaceshot")[-1]
    assert {**again, "request_id": ""} == {**asked, "request_id": ""}


def test_launch_times_of_it_and_the_air_of_the_forecast(visit: Open) -> None:
    one = visit().open()
    gas_balloon(one)
    one.page.get_by_label("Air it climbs through").select_option("The forecast's")
    expect(outcome(one)).to_contain_text("In standard air; the flight climbs through the forecast's.")
    one.choose("sweep")
    one.page.locator("#sweepFrom").fill(datetime.fromtimestamp(one.service.start, UTC).strftime("%Y-%m-%dT%H:%M"))
    one.page.locator("#sweepTo").fill(datetime.fromtimestamp(one.service.start + 86400, UTC).strftime("%Y-%m-%dT%H:%M"))
    one.page.locator("#sweepMinutes").fill("720")
    one.fly("3 launch times")
    assert {(asked["profile"], asked["atmosphere"]) for asked in one.asked("/sim/singlezpb")} == {("physical", "model")}


def test_what_cannot_lift_is_refused_in_words_where_it_is_filled(visit: Open) -> None:
    one = visit().open()
    one.expect_fault("status of 400")
    page = one.page
    gas_balloon(one)
    page.get_by_label("Filled for").select_option("Gas volume")
    page.locator("#volume").fill("0.5")
    note = page.locator("#volume-note")
    expect(note).to_have_text(re.compile(r"^Net lift -16\.4 N: 0\.5 m3 of helium lift"))
    expect(page.locator("#volume")).to_have_attribute("aria-invalid", "true")
    expect(outcome(one)).to_be_empty()
    page.locator("#fly").click()
    expect(page.locator("#run-problem")).to_contain_text("Net lift -16.4 N")
    expect(page.locator("#volume")).to_be_focused()
    assert one.asked("/sim/singlezpb") == []
    # With less to carry it lifts.
    page.get_by_label("Envelope").select_option("kaymont-100")
    page.locator("#payload").fill("0.1")
    expect(note).to_have_text("At sea level")
    expect(outcome(one)).to_contain_text("Bursts at")
    page.get_by_label("Comes down by").select_option("Parachute")
    page.locator("#chute").fill("0.01")
    expect(page.locator("#chute-note")).to_contain_text("it must be 0.1 to 20 m/s")


def test_a_refusal_stands_in_one_place_until_the_form_changes(visit: Open) -> None:
    one = visit().open()
    one.expect_fault("status of 400")
    page = one.page
    gas_balloon(one)
    one.fly()
    one.tab("Plan")
    payload, said = page.locator("#payload"), page.get_by_text(re.compile("the gas takes", re.IGNORECASE))
    with page.expect_response("**/sim/singlezpb*"), page.expect_response("**/api/v1/balloon-specs"):
        payload.fill("1000")
    expect(page.locator("#asc-note")).to_contain_text("The gas takes")
    expect(page.locator("#run-problem")).to_be_empty()
    expect(said.locator("visible=true")).to_have_count(1)
    # The flight before it is not taken for that of this plan.
    one.tab("Result")
    stale = page.locator("#stale")
    expect(stale).to_contain_text("This plan does not fly: The gas takes")
    expect(stale.get_by_role("button")).to_be_hidden()
    one.tab("Plan")
    payload.fill("")
    expect(page.locator("#payload-note")).to_have_text("Payload needs a number")
    page.wait_for_timeout(600)
    expect(page.locator("#asc-note")).to_have_text("0.1 to 20 m/s")
    expect(said.locator("visible=true")).to_have_count(0)
    page.locator("#fly").click()
    expect(page.locator("#run-problem")).to_have_text("Payload needs a number")
    payload.fill("1")
    expect(outcome(one)).to_contain_text("Bursts at")
    expect(page.locator("#run-problem")).to_be_empty()
    expect(stale).to_be_hidden()


def test_it_is_sized_on_the_ground_that_it_starts_from(visit: Open) -> None:
    one = visit().open()
    gas_balloon(one)
    one.page.locator("#place").fill("39.74, -104.99")
    one.page.locator("#place").press("Enter")
    expect(one.page.get_by_text("the flight starts on it")).to_be_visible()
    ground = one.service.ask("/sim/elev", lat="39.74", lon="-104.99")["elevation"]
    assert ground > 1500
    gas = {"envelope": "kaymont-1200", "lift_gas_type": "helium", "payload_mass": 1, "ascent_rate": 5}
    specs = sized(one, **gas, launch_altitude=ground)
    assert round(specs["burst_altitude"]) != round(sized(one, **gas)["burst_altitude"])
    expect(outcome(one)).to_contain_text(f"Bursts at {specs['burst_altitude']:,.0f} m")


def test_a_refusal_that_comes_late_is_not_for_another_profile(visit: Open) -> None:
    one = visit().open()
    one.expect_fault("status of 400")
    gas_balloon(one)
    one.page.get_by_label("Filled for").select_option("Gas volume")
    held = one.hold("/api/v1/balloon-specs")
    one.page.locator("#volume").fill("0.5")
    one.wait(lambda: bool(held.routes), "the question")
    one.choose("standard")
    with one.page.expect_response("**/api/v1/balloon-specs"):
        held.release()
    one.fly()


def test_what_does_not_burst_stays_up_for_hours(visit: Open) -> None:
    one = visit().open()
    page = one.page
    gas_balloon(one)
    page.get_by_label("Filled for").select_option("Burst altitude")
    page.get_by_label("Envelope").select_option("jaxa-b80")
    expect(page.get_by_label("Filled for").locator("option[value=burst]")).to_be_disabled()
    expect(page.locator("#asc")).to_have_value("5")
    expect(page.locator("#afloat")).to_have_value("2")
    expect(page.locator("#payload-note")).to_have_text("Floats at 55,296 m, flights go up to 49,999 m")
    page.locator("#payload").fill("100")
    page.locator("#afloat").fill("1.5")
    expect(outcome(one)).to_contain_text("Floats at")
    one.fly()
    assert float(one.asked("/sim/singlezpb")[-1]["eqtime"]) == 1.5
    moments = page.locator(".moments")
    expect(moments).to_contain_text("Float")
    one.tab("Plan")
    page.get_by_label("Envelope").select_option("kaymont-1200")
    expect(page.locator("#afloat")).to_have_count(0)
    expect(moments).to_contain_text("Burst")
    assert one.asked("/sim/singlezpb")[-1]["eqtime"] == "0"


def test_it_is_there_the_next_time_and_in_other_units(visit: Open) -> None:
    one = visit().open()
    page = one.page
    gas_balloon(one)
    page.get_by_label("Envelope").select_option("pawan-1200")
    page.locator("#payload").fill("1.5")
    expect(outcome(one)).to_contain_text("neck lifts")
    page.goto("about:blank")
    one.open()
    expect(page.locator("#profile-physical")).to_be_checked()
    expect(page.locator("#envelope optgroup").first).to_be_attached()
    expect(page.locator("#envelope")).to_have_value("pawan-1200")
    expect(page.locator("#payload")).to_have_value("1.5")
    page.locator("#units").select_option("Imperial")
    expect(page.locator("#payload")).to_have_value("3.31")
    expect(outcome(one)).to_contain_text("ft³ of helium")
    one.choose("standard")
    expect(page.locator("#burst")).to_be_visible()
    expect(page.locator("#envelope")).to_have_count(0)


def test_a_hostile_link_says_what_is_wrong_with_it(visit: Open) -> None:
    one = visit()
    one.expect_fault("status of 400")
    page = one.page
    one.open(profile="physical", envelope="rocket-9", fill="volume", volume=3, payload="1e9", gas="xenon")
    expect(page.get_by_text("The link is wrong in part: Payload is 1e9")).to_be_visible()
    expect(page.get_by_text("The link is wrong in part: Gas is xenon")).to_be_visible()
    expect(page.locator("#envelope-note")).to_contain_text("there is no envelope 'rocket-9'")
    expect(page.locator("#envelope")).to_have_value("rocket-9")
    page.locator("#fly").click()
    expect(page.locator("#run-problem")).to_contain_text("there is no envelope 'rocket-9'")
    page.get_by_label("Envelope").select_option("kaymont-1200")
    expect(page.locator("#envelope-note")).to_be_empty()
    one.fly()


def test_the_list_of_envelopes_is_fetched_again_when_it_was_not_there(visit: Open) -> None:
    one = visit().open()
    one.expect_fault("Failed to load resource|ERR_FAILED")
    page = one.page
    page.route("**/api/v1/balloon-specs", lambda route: route.abort())
    one.choose("physical")
    expect(page.get_by_text("The server cannot be reached: there are no other envelopes now.")).to_be_visible()
    expect(page.locator("#envelope")).to_have_value("kaymont-1200")
    page.unroute("**/api/v1/balloon-specs")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#envelope optgroup").first).to_be_attached()
    expect(page.locator("#envelope option")).to_have_count(len(one.service.ask("/api/v1/balloon-specs")["envelopes"]))


@both_screens
def test_the_calculator_flies_what_it_has_sized(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    page = one.page
    page.get_by_role("button", name="From balloon and payload").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Envelope", exact=True).select_option("hwoyee-1000")
    dialog.get_by_label("Payload", exact=True).fill("1.25")
    dialog.locator("label[for='wish-volume']").click()
    dialog.get_by_label("Gas volume").fill("4.5")
    dialog.get_by_text("More").click()
    dialog.get_by_label("Parachute").fill("1.5")
    expect(dialog.get_by_text("4.50 m³")).to_be_visible()
    expect(dialog.locator("dt", has_text="Descent at sea level")).to_be_visible()
    dialog.get_by_role("button", name="Fly this balloon").click()
    expect(page.locator("#profile-physical")).to_be_checked()
    expect(page.locator("#envelope")).to_have_value("hwoyee-1000")
    for name, value in {"payload": "1.25", "volume": "4.5", "chute": "1.5"}.items():
        expect(page.locator(f"#{name}")).to_have_value(value)
    one.fly()


@both_screens
def test_an_envelope_of_ones_own_is_sized_and_its_rates_are_used(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    one.expect_fault("status of 400")
    page = one.page
    page.get_by_role("button", name="From balloon and payload").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Envelope", exact=True).select_option("An envelope of your own")
    dialog.get_by_label("Mass of the envelope").fill("0.95")
    dialog.get_by_label("Burst diameter").fill("7.5")
    gas = {"lift_gas_type": "helium", "payload_mass": 1, "ascent_rate": 5}
    specs = sized(one, material="latex", envelope_mass=0.95, burst_diameter=7.5, **gas)
    figures = dialog.locator(".figure strong")
    expect(figures.first).to_have_text(f"{specs['burst_altitude']:,.0f} m")
    expect(dialog.get_by_role("button", name="Fly this balloon")).to_be_disabled()
    one.keep("own-envelope")
    assert one.violations() == []
    dialog.get_by_label("Material").select_option("Zero-pressure film")
    dialog.get_by_label("Full volume").fill("500")
    film = sized(one, material="zero-pressure", envelope_mass=0.95, envelope_volume=500, **gas)
    expect(figures.first).to_have_text(f"{film['float_altitude']:,.0f} m")
    dialog.get_by_label("Full volume").fill("0")
    expect(dialog.locator("#own-volume-note")).to_contain_text("it must be 0.001 to 2,000,000 m³")
    dialog.get_by_label("Full volume").fill("500")
    dialog.get_by_label("Material").select_option("Super-pressure film")
    dialog.get_by_label("Pressure it stands").fill("10")
    expect(dialog.get_by_text(re.compile("Pa more than the air, own stands 10 Pa"))).to_be_visible()
    dialog.get_by_label("Pressure it stands").fill("100000")
    film = sized(one, material="super-pressure", envelope_mass=0.95, envelope_volume=500, pressure_limit=100_000, **gas)
    expect(figures.first).to_have_text(f"{film['float_altitude']:,.0f} m")
    dialog.get_by_label("Material").select_option("Latex")
    expect(figures.first).to_have_text(f"{specs['burst_altitude']:,.0f} m")
    dialog.get_by_role("button", name="Use its mean ascent rate").click()
    expect(page.locator("#burst")).to_have_value(str(round(specs["burst_altitude"])))
    one.fly()
    # It is there the next time.
    one.tab("Plan")
    page.get_by_role("button", name="From balloon and payload").click()
    expect(dialog.get_by_label("Mass of the envelope")).to_have_value("0.95")
    kept = page.evaluate("localStorage.getItem('habsim.envelope')")
    assert json.loads(kept)["material"] == "latex"
