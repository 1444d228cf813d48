"""Sizing balloons over HTTP, and flights of the profile `physical`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from api import answers
from api.balloons import BalloonBody
from habsim import atmosphere, balloons
from habsim.envelopes import CYLINDERS, ENVELOPES, GASES
from habsim.sizing import Wish, filled, performance
from tests.asking import error_text, url
from tests.worlds import START

PATH = "/api/v1/balloon-specs"
LOGIN = {"password": "correct horse"}
# The contract's four fields, and the same with an envelope by its name.
CONTRACT: dict[str, Any] = {"material": "latex", "volume": 4.0, "payload_mass": 1.0, "lift_gas_type": "helium"}
GOOD: dict[str, Any] = {
    "envelope": "kaymont-1200",
    "payload_mass": 1.05,
    "lift_gas_type": "helium",
    "ascent_rate": 5.0,
}
LAUNCH = {
    "timestamp": f"{START + 3600:.0f}",
    "lat": "10",
    "lon": "20",
    "alt": "24",
    "profile": "physical",
    "envelope": "kaymont-1200",
    "payload_mass": "1.05",
    "asc": "5",
    "desc": "5",
}


def body(**changes: Any) -> dict[str, Any]:
    """A good body; None leaves a field out."""
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not None}


def column(heights: list[Any], pressures: list[Any], temperatures: list[Any]) -> dict[str, list[Any]]:
    return {"heights": heights, "pressures": pressures, "temperatures": temperatures}


def sized(client: FlaskClient, content: dict[str, Any]) -> dict[str, Any]:
    response = client.post(PATH, json=content)
    assert response.status_code == 200, response.text
    read = answers.BalloonSpecs.model_validate_json(response.data, strict=True, extra="forbid")
    assert json.loads(read.model_dump_json()) == response.json
    found = response.json
    assert isinstance(found, dict)
    return found


def refused(client: FlaskClient, content: Any) -> str:
    return error_text(client.post(PATH, json=content), 400, PATH)


def flight(path: str = "/sim/singlezpb", **changes: Any) -> str:
    named = {name.replace("__", "."): value for name, value in changes.items()}
    given = {name: str(value) for name, value in {**LAUNCH, **named}.items() if value is not None}
    return url(path, {**given, **({"model": "0"} if path == "/sim/singlezpb" else {})})


def refusal_of(client: FlaskClient, address: str) -> str:
    return error_text(client.get(address), 400, address.partition("?")[0])


class TestSizing:
    def test_the_contract(self, client: FlaskClient) -> None:
        found = sized(client, CONTRACT)
        assert found["volume"] == 4.0
        assert found["envelope"]["kind"] == "latex"
        assert found["gross_lift"] == pytest.approx(4.0 * (1.2250 - 0.16928) * 9.80665, rel=1e-4)
        assert found["ascent_rate"] >= 4.8
        assert 25_000 < found["burst_altitude"] < 45_000
        assert found["float_altitude"] is None

    def test_the_contract_refuses_what_cannot_lift_in_newtons(self, client: FlaskClient) -> None:
        response = client.post(PATH, json={**CONTRACT, "volume": 0.4})
        text = error_text(response, 400, PATH)
        assert text.startswith("net lift -6.156 N: 0.4 m3 of helium lift 4.141 N, envelope and payload weigh 10.3 N")
        assert response.json is not None
        assert response.json["details"]["net_lift"] == pytest.approx(-6.1558, abs=1e-4)

    @pytest.mark.parametrize(
        ("wish", "value"), [("volume", 3.3), ("free_lift", 10.0), ("ascent_rate", 5.0), ("burst_altitude", 31000.0)]
    )
    def test_each_wish_is_what_the_physics_says(self, client: FlaskClient, wish: str, value: float) -> None:
        found = sized(client, body(**{"ascent_rate": None, wish: value}))
        does = performance(filled(ENVELOPES["kaymont-1200"], GASES["helium"], 1.05, Wish(**{wish: value})))
        assert found[wish] == pytest.approx(value, rel=1e-5)
        assert found["gas_mass"] == pytest.approx(does.spec.gas_mass, rel=1e-5)
        assert found["burst_altitude"] == pytest.approx(does.top, rel=1e-5)
        assert found["ascent_seconds"] == pytest.approx(does.seconds, rel=1e-5)
        assert found["mean_ascent_rate"] == pytest.approx(does.mean_ascent_rate, rel=1e-5)
        assert found["neck_lift"] == pytest.approx(does.spec.neck_lift, rel=1e-5)
        for lift in ("gross_lift", "neck_lift", "free_lift"):
            assert found[f"{lift}_g"] == pytest.approx(found[lift] / 9.80665 * 1000, rel=1e-5)

    def test_there_and_back(self, client: FlaskClient) -> None:
        there = sized(client, body())
        back = sized(client, body(ascent_rate=None, volume=there["volume"]))
        assert back["ascent_rate"] == pytest.approx(5.0, abs=1e-4)
        again = sized(client, body(ascent_rate=None, burst_altitude=there["burst_altitude"]))
        assert again["volume"] == pytest.approx(there["volume"], rel=1e-4)

    @pytest.mark.parametrize("kind", ["zero-pressure", "polyethylene", "super-pressure"])
    def test_what_floats(self, client: FlaskClient, kind: str) -> None:
        found = sized(client, body(envelope=None, material=kind, payload_mass=1000.0))
        assert found["burst_altitude"] is None
        assert found["float_altitude"] > 30_000
        assert found["envelope"]["kind"] == ("super-pressure" if kind == "super-pressure" else "zero-pressure")
        assert (found["superpressure"] > 0) == (kind == "super-pressure")
        assert (found["vented_gas_mass"] > 0) == (kind != "super-pressure")

    def test_of_all_envelopes_the_one_that_goes_highest(self, client: FlaskClient) -> None:
        found = sized(client, CONTRACT)
        others = []
        for envelope in ENVELOPES.values():
            if envelope.kind == "latex":
                answer = client.post(PATH, json={**CONTRACT, "envelope": envelope.name})
                if answer.status_code == 200 and answer.json is not None and answer.json["ascent_rate"] >= 4.8:
                    others.append(answer.json["burst_altitude"])
        assert len(others) > 3
        assert found["burst_altitude"] == max(others)

    def test_an_envelope_of_ones_own(self, client: FlaskClient) -> None:
        own = sized(client, body(envelope=None, material="latex", envelope_mass=1.2, burst_diameter=8.63))
        named = sized(client, body())
        assert own["burst_altitude"] == pytest.approx(named["burst_altitude"], rel=1e-4)
        assert own["envelope"]["maker"] == ""
        film = sized(client, body(envelope=None, material="polyethylene", envelope_mass=2.0, envelope_volume=300.0))
        assert film["envelope"]["volume"] == 300.0
        assert film["float_altitude"] > 15_000

    def test_pressure_of_a_super_pressure_balloon(self, client: FlaskClient) -> None:
        asked = body(envelope="nasa-spb-19mcf", payload_mass=2268.0, ascent_rate=None, free_lift=4700.0)
        found = sized(client, asked)
        assert found["envelope"]["pressure_limit"] == 180.0
        assert 0.0 < found["overpressure"] < 180.0
        assert "stands 50 Pa" in refused(client, {**asked, "pressure_limit": 50.0})
        assert sized(client, body())["envelope"]["pressure_limit"] is None

    def test_a_listed_envelope_may_be_changed(self, client: FlaskClient) -> None:
        found = sized(client, body(envelope_mass=1.25, drag_coefficient=0.4, burst_diameter=8.0))["envelope"]
        assert (found["mass"], found["drag_coefficient"], found["diameter"]) == (1.25, 0.4, 8.0)
        assert found["source"].endswith("changed by the request")

    def test_chute_and_cylinders(self, client: FlaskClient) -> None:
        found = sized(client, body(chute_diameter=1.2, cylinder="1.2"))
        area = math.pi / 4 * 1.2**2
        assert found["descent_rate"] == pytest.approx(math.sqrt(2 * 1.05 * 9.80665 / (1.225 * 0.75 * area)), rel=1e-4)
        assert found["cylinders"] == {"name": "1.2", "contents": 1.2, "count": math.ceil(found["volume"] / 1.2)}
        assert sized(client, body())["descent_rate"] is None
        answer = client.post(PATH, json=body(chute_diameter=0.1)).json
        assert answer is not None
        assert answer["details"] == {"parameters": {"chute_diameter": answer["error"]}}

    def test_a_cylinder_holds_more_of_methane(self, client: FlaskClient) -> None:
        found = sized(client, body(lift_gas_type="methane", ascent_rate=None, volume=10.0))
        assert found["cylinders"] == {"name": "50l", "contents": pytest.approx(9.1 * 1.3), "count": 1}
        assert sized(client, body(ascent_rate=None, volume=10.0))["cylinders"]["count"] == 2

    def test_burst_is_higher_for_gps(self, client: FlaskClient) -> None:
        found = sized(client, body(ascent_rate=None, burst_altitude=30_000.0))
        assert found["geometric_altitude"] == pytest.approx(30_142.0, abs=1.0)

    def test_launch_on_a_mountain(self, client: FlaskClient) -> None:
        sea, mountain = sized(client, body()), sized(client, body(launch_altitude=4000))
        assert mountain["ascent_rate"] == sea["ascent_rate"] == 5.0
        assert mountain["launch_volume"] > mountain["volume"]
        assert mountain["volume"] < sea["volume"]  # air that is thinner drags less

    def test_a_column_of_the_caller(self, client: FlaskClient) -> None:
        heights = [100.0 * n for n in range(500)]
        warm = {
            "heights": heights,
            "pressures": atmosphere.pressure(heights).tolist(),
            "temperatures": (atmosphere.temperature(heights) + 10.0).tolist(),
        }
        same = {**warm, "temperatures": atmosphere.temperature(heights).tolist()}
        usual = sized(client, body())
        assert sized(client, body(atmosphere=same))["burst_altitude"] == pytest.approx(usual["burst_altitude"], abs=1)
        assert sized(client, body(atmosphere=warm))["burst_altitude"] != pytest.approx(usual["burst_altitude"], abs=50)


class TestParts:
    def test_all_are_listed_with_their_sources(self, client: FlaskClient) -> None:
        response = client.get(PATH)
        read = answers.BalloonParts.model_validate_json(response.data, strict=True, extra="forbid")
        assert json.loads(read.model_dump_json()) == response.json
        for listed, known in ((read.gases, GASES), (read.envelopes, ENVELOPES), (read.cylinders, CYLINDERS)):
            assert [entry.name for entry in listed] == list(known)
            assert all(entry.source for entry in listed)

    def test_every_listed_envelope_and_cylinder_can_be_asked_for(self, client: FlaskClient) -> None:
        for envelope in ENVELOPES.values():
            payload = 0.05 if envelope.kind == "latex" else 10.0
            rate = 2.0 if envelope.name == "kaymont-50" else 3.0
            sized(client, body(envelope=envelope.name, payload_mass=payload, ascent_rate=rate))
        for name in CYLINDERS:
            sized(client, body(cylinder=name))


NUMBERS = {
    "envelope_mass": (0.001, 20_000.0),
    "envelope_volume": (0.001, 2_000_000.0),
    "burst_diameter": (0.01, 100.0),
    "drag_coefficient": (0.01, 2.0),
    "pressure_limit": (1.0, 100_000.0),
    "payload_mass": (0.0, 20_000.0),
    "volume": (0.001, 2_000_000.0),
    "free_lift": (0.001, 1e6),
    "ascent_rate": (0.1, 20.0),
    "burst_altitude": (1.0, 60_000.0),
    "launch_altitude": (-500.0, balloons.FLIGHT_CEILING),
    "chute_diameter": (0.01, 100.0),
    "chute_drag_coefficient": (0.1, 3.0),
}
WORDS = ("material", "envelope", "lift_gas_type", "cylinder")
NASTY = [
    "",
    " ",
    "x",
    "'; DROP TABLE users;--",
    "<script>alert(1)</script>",
    "\x00",
    "kaymont-1200\n",
    "\N{BALLOON}",
    "9" * 40,
]


class TestRefusals:
    def test_every_field_is_here(self) -> None:
        assert set(BalloonBody.model_fields) == {*NUMBERS, *WORDS, "atmosphere"}

    @pytest.mark.parametrize("field", ["payload_mass", "lift_gas_type"])
    def test_missing(self, client: FlaskClient, field: str) -> None:
        assert refused(client, body(**{field: None})) == f"{field} is missing"

    def test_missing_envelope_or_wish(self, client: FlaskClient) -> None:
        assert refused(client, body(envelope=None)).startswith("material is missing, and so is envelope")
        assert "one of volume, free_lift, ascent_rate, burst_altitude" in refused(client, body(ascent_rate=None))
        assert "not volume and ascent_rate" in refused(client, body(volume=3.0))

    @pytest.mark.parametrize("field", NUMBERS)
    @pytest.mark.parametrize("value", ["5", "", True, [1.0], {"a": 1}, "NaN", "1e3", "<b>"])
    def test_a_number_of_another_type(self, client: FlaskClient, field: str, value: Any) -> None:
        text = refused(client, body(**{field: value}))
        assert f"{field} is " in text
        assert "it must be a number" in text
        assert text.isprintable()

    @pytest.mark.parametrize("field", NUMBERS)
    def test_a_number_out_of_range(self, client: FlaskClient, field: str) -> None:
        low, high = NUMBERS[field]
        for value, limit in ((low - 0.0005, low), (high + 1.0, high), (-1e300, low), (1e300, high)):
            text = refused(client, body(**{field: value}))
            assert f"{field} is {str(value)[:37]}" in text
            assert f" {limit:.10f}".rstrip("0").rstrip(".") in text

    @pytest.mark.parametrize("field", NUMBERS)
    def test_the_limits_themselves_are_in_range(self, client: FlaskClient, field: str) -> None:
        for value in NUMBERS[field]:
            response = client.post(PATH, json=body(**{field: value}))
            assert response.status_code in {200, 400}
            assert f"{field} is {value}, it must" not in response.text

    @pytest.mark.parametrize("field", WORDS)
    @pytest.mark.parametrize("value", [*NASTY, 1, 1.5, True, ["latex"], {}])
    def test_a_word_that_is_none(self, client: FlaskClient, field: str, value: Any) -> None:
        response = client.post(PATH, json=body(**{field: value}))
        text = error_text(response, 400, PATH)
        assert field in text
        assert text.isprintable()
        assert len(text) < 400
        assert response.content_type == "application/json"

    @pytest.mark.parametrize("name", ["colour", "Volume", "volume ", "__proto__", "'; --", "x" * 10_000])
    def test_an_unknown_field(self, client: FlaskClient, name: str) -> None:
        text = refused(client, {**body(), name: 1})
        assert text.endswith("is unknown")

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            (body(material="zero-pressure"), "material is zero-pressure, but kaymont-1200 is latex"),
            (body(envelope_volume=10.0), "envelope_volume is given, but the size of a latex envelope is its"),
            (body(envelope=None, material="polyethylene", burst_diameter=3.0), "burst_diameter is given, but the size"),
            (body(envelope=None, material="latex", burst_diameter=3.0), "needs both envelope_mass and burst_diameter"),
            (body(envelope=None, material="latex", drag_coefficient=0.3), "drag_coefficient needs an envelope"),
            (body(pressure_limit=100.0), "pressure_limit is given, but the envelope is latex"),
            (body(envelope=None, material="super-pressure", pressure_limit=1.0), "pressure_limit needs an envelope"),
            (body(envelope=None, material="super-pressure", envelope_mass=1.0, envelope_volume=10.0),
             "pressure_limit is missing; a super-pressure envelope of its own needs it"),
            (body(envelope=None, material="super-pressure", envelope_mass=1.0, envelope_volume=10.0,
                  pressure_limit=5000.0), "own stands 5000 Pa; take less gas"),
            (body(envelope="nasa-spb-19mcf", payload_mass=2268.0, ascent_rate=15.0), "stands 180 Pa; take less gas"),
            (body(payload_mass=0, chute_diameter=1), "0 kg fall at 0 m/s, it must be 0.1 to 20 m/s"),
            (body(chute_diameter=0.01), "chute_diameter is 0.01 m: 1.05 kg fall at 534 m/s, it must be 0.1 to 20 m/s"),
            (body(envelope="kaymont-1201"), "near are kaymont-1200"),
            (body(cylinder="51l"), "there is no cylinder '51l'; there are 0.6, 1.2"),
            (body(envelope="raven-40mcf", ascent_rate=None, burst_altitude=3e4), "raven-40mcf is zero-pressure and"),
            (body(launch_altitude=40000), "the gas takes"),
            (body(ascent_rate=None, free_lift=1e6), "bursts at 336.5 m3"),
            (body(payload_mass=20000), "bursts at 336.5 m3"),
            (body(ascent_rate=None, volume=1.0, lift_gas_type="methane"), "net lift -16.7"),
            (body(atmosphere={}), "atmosphere.heights is missing"),
            (body(atmosphere=column([0, 1], [1, 2], [200, 200, 200])), "of one length, 2 at least, not 2, 2 and 3"),
            (body(atmosphere=column([0, 1], [1, 2], [200, 200])), "a density that falls"),
            (body(atmosphere=column([90_000, 1e5], [1000, 900], [288, 280])), "the air of the Earth, not 1000 hPa and"),
            (body(atmosphere=column([0, 1e4], [1013, 1012], [288, 400])), "to 375.2 hPa at 10000 m, not 1012 hPa"),
            (body(atmosphere=column([3000, 6000], [701, 472], [269, 249])), "launch_altitude is 0 m, the"),
            (body(launch_altitude=9000, atmosphere=column([0, 6000], [1013, 472], [288, 249])), "and end above it"),
            (body(atmosphere=column([0, 1e9], [2, 1], [200, 200])), "atmosphere.heights.1 is 1000000000.0, it must be"),
            (body(atmosphere=column([0, 1], [2, 0], [200, 200])), "atmosphere.pressures.1 is 0, it must be at least"),
            (body(atmosphere=column([0, 1], [2, 1], [20, 200])), "atmosphere.temperatures.0 is 20, it must be"),
            (body(atmosphere=column([0, "1"], [2, 1], [200, 200])), "atmosphere.heights.1 is '1', it must be a number"),
            (body(atmosphere=column(list(range(1001)), [2, 1], [200, 200])), "1000"),
            (body(atmosphere=[]), "atmosphere must be a JSON object"),
        ],
    )  # fmt: skip
    def test_what_does_not_go_together(self, client: FlaskClient, content: dict[str, Any], text: str) -> None:
        assert text in refused(client, content)

    @pytest.mark.parametrize(
        "data",
        [b"", b"[", b"null", b"[]", b'"x"', b"3", b"[" * 100_000, b'{"volume": NaN}', b'{"volume": 1e999}', b"\xff\xfe",
         b'{"a":' * 5000],
    )  # fmt: skip
    def test_what_is_no_json_object(self, client: FlaskClient, data: bytes) -> None:
        response = client.post(PATH, data=data, content_type="application/json")
        text = error_text(response, 400, PATH)
        assert text == "the body must be a JSON object, of the type application/json"

    def test_a_form_is_no_json(self, client: FlaskClient) -> None:
        text = error_text(client.post(PATH, data={"volume": "3"}), 400, PATH)
        assert "of the type application/json" in text

    def test_a_body_of_a_megabyte(self, client: FlaskClient) -> None:
        text = error_text(client.post(PATH, json=body(envelope="x" * 900_000)), 400, PATH)
        assert len(text) < 300
        assert error_text(client.post(PATH, json=body(envelope="x" * 1_100_000)), 413, PATH)

    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        content=st.fixed_dictionaries(
            {"lift_gas_type": st.sampled_from(list(GASES)), "payload_mass": st.floats(0, 2e4)},
            optional={
                "material": st.sampled_from(["latex", "zero-pressure", "super-pressure", "polyethylene"]),
                "envelope": st.sampled_from(list(ENVELOPES)),
                **{name: st.floats(*limits) for name, limits in NUMBERS.items() if name != "payload_mass"},
            },
        )
    )
    def test_whatever_is_in_range_is_sized_or_refused(self, client: FlaskClient, content: dict[str, Any]) -> None:
        response = client.post(PATH, json=content)
        if response.status_code == 200:
            read = answers.BalloonSpecs.model_validate_json(response.data, strict=True, extra="forbid")
            assert read.free_lift > 0
            assert math.isfinite(read.ascent_seconds)
        else:
            assert error_text(response, 400, PATH).isprintable()


class TestService:
    def test_the_login_is_in_front(self, another_app: Callable[..., Flask]) -> None:
        client = another_app(**LOGIN).test_client()
        assert client.post(PATH, json=body()).status_code == 401
        assert client.get(PATH).status_code == 401
        token = client.post("/login", json=LOGIN).json["token"]  # type: ignore[index]
        allowed = {"Authorization": f"Bearer {token}"}
        assert client.post(PATH, json=body(), headers=allowed).status_code == 200

    def test_it_needs_no_cycle(self, another_app: Callable[..., Flask]) -> None:
        client = another_app(members=0).test_client()
        assert client.post(PATH, json=body()).status_code == 200

    def test_it_is_described(self, client: FlaskClient) -> None:
        document = client.get("/openapi.json").json
        assert document is not None
        schemas, route = document["components"]["schemas"], document["paths"][PATH]
        content = route["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert content == {"$ref": "#/components/schemas/BalloonBody"}
        assert set(schemas["BalloonBody"]["required"]) == {"lift_gas_type", "payload_mass"}
        for method, answer in (("get", "BalloonParts"), ("post", "BalloonSpecs")):
            told = route[method]["responses"]["200"]["content"]["application/json"]["schema"]
            assert told == {"$ref": f"#/components/schemas/{answer}"}
            assert answer in schemas


class TestFlights:
    def test_a_flight_is_that_of_the_sizing(self, client: FlaskClient) -> None:
        ascent, coast, descent = client.get(flight()).json  # type: ignore[misc]
        found = sized(client, body(launch_altitude=24))
        assert ascent[-1][3] == pytest.approx(found["burst_altitude"], abs=0.1)
        assert ascent[-1][0] - ascent[0][0] == pytest.approx(found["ascent_seconds"], abs=0.1)
        assert len(coast) == 1
        assert descent[-1][3] == 0.0
        # The wind of member 0 is 10 m/s eastwards.
        degrees = math.degrees(10.0 * (ascent[-1][0] - ascent[0][0]) / 6.387e6 / math.cos(math.radians(10.1)))
        assert ascent[-1][2] - 20.0 == pytest.approx(degrees, rel=2e-3)

    @pytest.mark.parametrize(
        "wish", [{"volume": 3.3}, {"free_lift": 10}, {"asc": 5}, {"equil": 31000}], ids=lambda wish: next(iter(wish))
    )
    def test_each_wish(self, client: FlaskClient, wish: dict[str, Any]) -> None:
        changes: dict[str, Any] = {"asc": None, **wish}
        ascent = client.get(flight(**changes)).json[0]  # type: ignore[index]
        names = {"asc": "ascent_rate", "equil": "burst_altitude"}
        asked = {names.get(name, name): value for name, value in wish.items()}
        found = sized(client, body(**{"ascent_rate": None, "launch_altitude": 24, **asked}))
        assert ascent[-1][3] == pytest.approx(found["burst_altitude"], abs=0.1)

    def test_a_chute_in_the_place_of_a_descent_rate(self, client: FlaskClient) -> None:
        rate = sized(client, body(chute_diameter=1.5))["descent_rate"]
        chute = client.get(flight(desc=None, chute_diameter=1.5)).json[2]  # type: ignore[index]
        given = client.get(flight(desc=rate)).json[2]  # type: ignore[index]
        assert chute[-1][0] == pytest.approx(given[-1][0], abs=0.1)

    def test_what_floats_stays_up_for_its_time(self, client: FlaskClient) -> None:
        _, coast, descent = client.get(flight(envelope="raven-40mcf", payload_mass=2000, eqtime=0.5)).json  # type: ignore[misc]
        assert coast[-1][0] - coast[0][0] == pytest.approx(1800.0, abs=1e-3)
        assert descent[-1][3] == 0.0

    @pytest.mark.parametrize("varies", ["fill", "mass", "burst", None])
    def test_an_ensemble_spreads_by_fill_mass_and_burst(self, client: FlaskClient, varies: str | None) -> None:
        parameters = {"fill", "mass", "burst", "desc", "coeff", "lat", "lon", "alt"} - {varies}
        still = {f"perturb__{name}": 0 for name in parameters}
        found = client.get(flight("/sim/spaceshot", num_perturbations=50, **still)).json
        assert found is not None
        lands = [row["lon"] for row in found["heatmap_data"] if row["model_id"] == 0]
        assert len(lands) == 51
        assert len(set(lands)) == (1 if varies is None else 51)

    def test_the_flight_of_a_member_is_the_one_asked_for(self, client: FlaskClient) -> None:
        found, single = client.get(flight("/sim/spaceshot", num_perturbations=5)).json, client.get(flight()).json
        assert found is not None
        assert single is not None
        assert found["paths"][0] == single
        row = found["heatmap_data"][0]
        assert [row["lat"], row["lon"]] == single[2][-1][1:3]

    def test_the_same_request_gives_the_same_bytes_and_another_balloon_others(self, client: FlaskClient) -> None:
        def ask(**changes: object) -> TestResponse:
            return client.get(flight("/sim/spaceshot", num_perturbations=3, request_id="balloon", **changes))

        first = ask()
        assert first.status_code == 200
        assert ask().data == first.data
        assert ask(payload_mass=1.2).data != first.data
        assert ask(envelope="hwoyee-1200").data != first.data

    def test_where_the_speeds_are_given_none_may_be_missing(self, client: FlaskClient) -> None:
        steady: dict[str, Any] = {
            "envelope": None,
            "payload_mass": None,
            "profile": None,
            "equil": 30000,
            "eqtime": 0,
        }
        assert client.get(flight(**steady)).status_code == 200
        for name in ("equil", "eqtime", "asc", "desc"):
            text = refusal_of(client, flight(**{**steady, name: None}))
            assert text == f"{name} is missing"

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"envelope": None}, "envelope is missing; profile=physical needs it"),
            ({"payload_mass": None}, "payload_mass is missing; profile=physical needs it"),
            ({"asc": None}, "needs one of volume, free_lift, asc, equil, not none of them"),
            ({"volume": 3}, "needs one of volume, free_lift, asc, equil, not volume and asc"),
            ({"desc": None}, "needs one of desc, chute_diameter, not none of them"),
            ({"chute_diameter": 1}, "needs one of desc, chute_diameter, not both"),
            ({"desc": None, "chute_diameter": 0.01}, "1.05 kg fall at 534 m/s, it must be 0.1 to 20 m/s"),
            ({"desc": None, "chute_diameter": 1, "payload_mass": 0}, "0 kg fall at 0 m/s, it must be 0.1 to 20 m/s"),
            ({"eqtime": 1}, "eqtime is 1 h, but kaymont-1200 bursts at once; take eqtime=0"),
            ({"envelope": "kaymont-1201"}, "there is no envelope 'kaymont-1201'; near are kaymont-1200"),
            ({"envelope": "latex"}, "there is no envelope 'latex', it is a material"),
            ({"envelope": "../x"}, "envelope is ../x, it must match"),
            ({"lift_gas_type": "neon"}, "lift_gas_type is neon, it must be 'helium', 'hydrogen' or 'methane'"),
            ({"asc": None, "volume": 0.5}, "net lift -16.89 N"),
            ({"asc": None, "equil": 20}, "burst_altitude is 20 m, it must be above the launch at 24 m"),
            ({"asc": 0.2, "envelope": "jaxa-b80", "payload_mass": 1}, "the balloon floats at 5"),
            ({"asc": 15, "envelope": "nasa-spb-19mcf", "payload_mass": 2268}, "nasa-spb-19mcf stands 180 Pa"),
            ({"alt": 40000}, "the gas takes"),
            ({"profile": "zpb", "equil": 30000, "eqtime": 0}, "envelope is for profile=physical, profile is zpb"),
            ({"profile": "standard", "equil": 30000, "eqtime": 0, "envelope": None, "payload_mass": None,
              "chute_diameter": 1}, "chute_diameter is for profile=physical, profile is standard"),
        ],
    )  # fmt: skip
    def test_refusals(self, client: FlaskClient, changes: dict[str, Any], text: str) -> None:
        for path in ("/sim/singlezpb", "/sim/spaceshot"):
            assert text in refusal_of(client, flight(path, **changes))

    @pytest.mark.parametrize(
        ("profile", "name", "text"),
        [
            ("physical", "perturb__asc", "parameters are lat, lon, alt, eqtime, desc, coeff, fill, mass, burst"),
            ("physical", "perturb__equil", "is unknown"),
            ("zpb", "perturb__fill", "parameters are lat, lon, alt, equil, eqtime, asc, desc, coeff"),
        ],
    )
    def test_what_may_vary_depends_on_the_profile(
        self, client: FlaskClient, profile: str, name: str, text: str
    ) -> None:
        steady = {"envelope": None, "payload_mass": None, "profile": "zpb", "equil": 30000, "eqtime": 0}
        changes = {name: 0.1, **(steady if profile == "zpb" else {})}
        assert text in refusal_of(client, flight("/sim/spaceshot", **changes))

    def test_a_launch_below_the_ground_starts_on_it(self, another_app: Callable[..., Flask]) -> None:
        client = another_app().test_client()
        points = client.get(flight(alt=0)).json[0]  # type: ignore[index]
        assert points[0][3] == 0.0
