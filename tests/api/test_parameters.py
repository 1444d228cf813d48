"""Bad input for every parameter of every route, made from its description, so that a new one is covered too."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from api.params import CYCLE as CYCLE_PATTERN
from app import create_app
from habsim.montecarlo import DISTRIBUTIONS
from tests.asking import TAWHIRI_PATH, error_text, launch, single, spaceshot, tawhiri, url
from tests.worlds import CYCLE, START, make_bucket, make_settings

POINT = {"lat": "10", "lon": "20", "alt": "1000", "timestamp": f"{START:.0f}"}
# A good request for each route that takes parameters.
GOOD: dict[str, dict[str, str]] = {
    "/sim/singlezpb": {**launch(), "model": "0"},
    "/sim/spaceshot": launch(num_perturbations=1),
    "/sim/wind": {**POINT, "model": "0"},
    "/sim/windensemble": POINT,
    "/sim/windprofile": {"lat": "10", "lon": "20", "timestamp": f"{START:.0f}"},
    "/sim/elev": {"lat": "10", "lon": "20"},
    "/sim/progress": {"request_id": "known"},
    "/sim/progress-stream": {"request_id": "known"},
    TAWHIRI_PATH: tawhiri(),
}
PLATFORM = ("/api/v1/auth/", "/api/v1/simulations/", "/api/v1/reverse/", "/api/v1/history/")
NOT_NUMBERS = [
    "", " ", "x", "nan", "NaN", "-nan", "inf", "Inf", "-Inf", "+inf", "Infinity", "-infinity", "true", "None", "null",
    "1_0", " 1", "1 ", "1\n", "\t1", "1\x00", "\x00", "--1", "+-1", "1e", "e1", ".", "-", "1.2.3", "1,5", "0x10",
    "\N{FULLWIDTH DIGIT ONE}", "\N{ARABIC-INDIC DIGIT THREE}", "\N{MINUS SIGN}1", "\N{VULGAR FRACTION ONE HALF}",
    "\N{BALLOON}", "1\N{NO-BREAK SPACE}", "[1]", "{}", "1;2", "1'--", "<script>", "\ud800", "%", "1e9999",
    "1e1e1",
]  # fmt: skip
NOT_INTEGERS = [*NOT_NUMBERS, "1.0", "1.5", "1e1"]
HUGE = ["1e400", "-1e400", "1" + "0" * 30, "-1" + "0" * 30, "9" * 64]
NOT_MOMENTS = [
    "", "x", "now", "1795050000", "2026-11-19", "2026-11-19T03:00:00", "2026-11-19T03:00", "2026-13-19T03:00:00Z",
    "2026-02-30T03:00:00Z", "2026-11-19T25:00:00Z", "2026-11-19T03:60:00Z", "2026-11-19T03:00:61Z",
    "26-11-19T03:00:00Z",
    "2026-11-19T03:00:00+25:00", "2026-11-19T03:00:00 UTC", "2026-11-19T03:00:00.Z", "20261119T030000Z",
    "\N{FULLWIDTH DIGIT TWO}026-11-19T03:00:00Z", "2026-11-19T03:00:00Z\x00", "2026-11-19T03:00:00Z\n",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0000-01-01T00:00:00Z",
]  # fmt: skip
# Least, most, and whether the most is excluded.
CONTRACT = {
    "timestamp": (0, 1e11, False),  # and inside the cycle
    "lat": (-90, 90, False),
    "lon": (-180, 360, False),
    "alt": (0, 50000, False),
    "equil": (0, 50000, True),
    "eqtime": (0, 48, False),
    "asc": (0.1, 20, False),
    "desc": (0.1, 20, False),
    "coeff": (0.5, 1.5, False),
    "step": (5, 600, False),
    "model": (0, 99, False),  # and a member of the cycle
    "num_perturbations": (1, 100, False),
    "seed": (0, 2**53, True),
    "payload_mass": (0, 20000, False),
    "volume": (0.001, 2000000, False),
    "free_lift": (0.001, 1000000, False),
    "chute_diameter": (0.01, 100, False),
}
LIMIT_KEYS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


@dataclass(frozen=True)
class Parameter:
    """One parameter of one route, as described."""

    path: str
    name: str
    required: bool
    schema: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.path} {self.name}"

    @property
    def numeric(self) -> bool:
        return self.schema.get("type") in {"number", "integer"}

    def bad_values(self) -> list[str]:
        """Values that are not of the parameter's type."""
        if self.numeric:
            return [*(NOT_INTEGERS if self.schema["type"] == "integer" else NOT_NUMBERS), *HUGE]
        if self.schema.get("format") == "date-time":
            return NOT_MOMENTS
        known = self.schema.get("enum") or [self.schema.get("const")]
        if known != [None]:
            return ["", "x", *(word.upper() for word in known if not word.isdigit()), f"{known[0]}\x00", f" {known[0]}"]
        assert "pattern" in self.schema, f"{self} is any text"
        words = ["", " ", "../x", "a b", "a/b", "a\x00", "a\n", "\N{BALLOON}", "a.json", "a" * 65]
        return [*words, "\N{FULLWIDTH DIGIT ONE}" * 10, "2026111900\n"] if self.name == "cycle" else words

    def beyond(self) -> Iterator[tuple[str, str]]:
        """Values just out of range, each with its limit as people write it."""
        for key in LIMIT_KEYS:
            if key not in self.schema:
                continue
            limit = self.schema[key]
            step = 1 if self.schema["type"] == "integer" else max(1e-6, 1e-9 * abs(limit))
            outwards = 0 if key.startswith("exclusive") else step if key == "maximum" else -step
            value = limit + outwards
            yield f"{value:.0f}" if value == round(value) else f"{value:.6f}", f"{limit:.10f}".rstrip("0").rstrip(".")


def parameters_of(document: dict[str, Any]) -> list[Parameter]:
    found = []
    for path, operations in document["paths"].items():
        if path.startswith(PLATFORM):
            continue  # it asks who asks first: tests/api/test_platform.py
        for given_parameter in operations.get("get", {}).get("parameters", []):
            schema = given_parameter["schema"]
            options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
            assert len(options) == 1, f"{path} {given_parameter['name']} may be of several types"
            found.append(Parameter(path, given_parameter["name"], given_parameter["required"], options[0]))
    return found


@pytest.fixture(scope="module")
def parameters(app: Flask) -> list[Parameter]:
    return parameters_of(app.test_client().get("/openapi.json").json)  # type: ignore[arg-type]


def ask(client: FlaskClient, path: str, given_parameters: dict[str, str] | list[tuple[str, str]]) -> TestResponse:
    return client.get(f"{path}?{urlencode(given_parameters, quote_via=quote, errors='surrogatepass')}")


def refusal(response: TestResponse, path: str, status: int = 400) -> str:
    """The text of a refusal in the shape of its route, in words for people."""
    text = error_text(response, status, path)
    assert text.isprintable()
    assert len(text) < 1000
    assert "pydantic" not in text.lower()
    return text


def shown(value: str) -> str:
    """Enough of `value` to find it in a message, which may shorten or escape it."""
    plain = value if value.isascii() and value.isprintable() else ascii(value)[1:-1]
    return plain[:20]


class TestEveryParameter:
    def test_every_described_route_is_asked(self, parameters: list[Parameter], client: FlaskClient) -> None:
        assert {parameter.path for parameter in parameters} == set(GOOD)
        assert len(parameters) > 50
        client.get(spaceshot(num_perturbations=1, request_id="known"))
        for path, good in GOOD.items():
            assert ask(client, path, good).status_code == 200, path

    def test_every_number_has_limits(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if parameter.numeric:
                assert len(list(parameter.beyond())) == 2, parameter

    def test_the_limits_are_those_of_the_contract(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if parameter.numeric and parameter.path.startswith("/sim"):
                found = tuple(float(parameter.schema[key]) for key in LIMIT_KEYS if key in parameter.schema)
                assert (*found, "exclusiveMaximum" in parameter.schema) == CONTRACT[parameter.name], parameter

    def test_missing(self, parameters: list[Parameter], client: FlaskClient) -> None:
        for parameter in parameters:
            without = {name: value for name, value in GOOD[parameter.path].items() if name != parameter.name}
            if parameter.required:
                text = refusal(ask(client, parameter.path, without), parameter.path)
                assert text == f"{parameter.name} is missing"

    def test_all_that_is_missing_is_named_at_once(self, client: FlaskClient) -> None:
        text = refusal(client.get("/sim/singlezpb"), "/sim/singlezpb")
        assert all(f"{name} is missing" in text for name in GOOD["/sim/singlezpb"])
        details = client.get("/sim/singlezpb?lat=x&lon=999").json["details"]  # type: ignore[index]
        assert details["parameters"]["lat"] == "lat: 'x' is not a number"
        assert details["parameters"]["lon"] == "lon is 999, it must be at most 360"

    def test_not_of_its_type(self, parameters: list[Parameter], client: FlaskClient) -> None:
        for parameter in parameters:
            for value in parameter.bad_values():
                response = ask(client, parameter.path, {**GOOD[parameter.path], parameter.name: value})
                text = refusal(response, parameter.path)
                assert parameter.name in text, (str(parameter), value, text)
                readable = value.isascii() and value.isprintable() and value.strip() == value and 0 < len(value) <= 64
                assert not readable or shown(value) in text, (str(parameter), value, text)

    def test_out_of_range_says_value_and_limit(self, parameters: list[Parameter], client: FlaskClient) -> None:
        for parameter in parameters:
            if parameter.numeric:
                for value, limit in parameter.beyond():
                    response = ask(client, parameter.path, {**GOOD[parameter.path], parameter.name: value})
                    text = refusal(response, parameter.path)
                    assert f"{parameter.name} is {value}, it must be" in text, text
                    assert text.endswith(f" {limit}"), text

    def test_the_limits_themselves_are_not_refused(self, parameters: list[Parameter], client: FlaskClient) -> None:
        for parameter in parameters:
            for key in ("minimum", "maximum"):
                if key in parameter.schema:
                    changed = {**GOOD[parameter.path], parameter.name: str(parameter.schema[key]).removesuffix(".0")}
                    response = ask(client, parameter.path, changed)
                    assert response.status_code in {200, 400, 404}
                    assert f"{parameter.name} is {changed[parameter.name]}, it must" not in response.text

    def test_given_twice(self, parameters: list[Parameter], client: FlaskClient) -> None:
        for parameter in parameters:
            value = GOOD[parameter.path].get(parameter.name, "1")
            twice = [*({**GOOD[parameter.path], parameter.name: value}).items(), (parameter.name, value)]
            text = refusal(ask(client, parameter.path, twice), parameter.path)
            assert parameter.name in text
            assert "2 times" in text

    def test_over_long(self, parameters: list[Parameter], client: FlaskClient) -> None:
        for parameter in parameters:
            for value in ("1" * 10_000, "x" * 10_000, "0" * 9_999 + "1", "\N{BALLOON}" * 100):
                text = refusal(
                    ask(client, parameter.path, {**GOOD[parameter.path], parameter.name: value}), parameter.path
                )
                assert f"'{parameter.name}' has {len(value)} characters, the limit is 64" in text

    def test_an_unknown_parameter_may_not_be_repeated_or_over_long_either(self, client: FlaskClient) -> None:
        assert "2 times" in refusal(client.get("/sim/which?a=1&a=2"), "/sim/which")
        assert "65 characters" in refusal(client.get("/sim/which?a=" + "x" * 65), "/sim/which")
        text = refusal(client.get("/sim/which?" + "n" * 5000 + "=" + "x" * 65), "/sim/which")
        assert len(text) < 200

    @pytest.mark.parametrize("value", ["%2B10", "-0", "1e1", "10.", ".5", "010", "1E%2B1", "+10"])
    def test_ordinary_notations_are_numbers_and_a_bare_plus_is_a_space(self, client: FlaskClient, value: str) -> None:
        status = client.get(f"/sim/elev?lat={value}&lon=0").status_code
        assert status == (400 if value == "+10" else 200)


class TestTogether:
    """What is right alone and wrong together, and the words of the refusals."""

    @pytest.mark.parametrize(
        ("address", "status", "text"),
        [
            (single(equil=10000, alt=30000), 400, "equil is 10000 m, below the launch altitude 30000 m"),
            (single(profile="standard", eqtime=1), 400, "eqtime is 1 h, but the standard profile bursts at once"),
            (single(7), 404, f"member 7 is not in cycle {CYCLE}; it has 0..2"),
            (single(cycle="2026111906"), 404, "cycle 2026111906 is not in the bucket"),
            (single(cycle="2026111903"), 404, "a cycle is YYYYMMDDHH with hour 00, 06, 12 or 18"),
            (single(cycle="2026993300"), 404, "'2026993300' is not a cycle"),
            (single(cycle="latest"), 400, f"cycle is latest, it must match {CYCLE_PATTERN}"),
            (single(format="pdf"), 400, "format is pdf, it must be 'json', 'geojson', 'kml', 'csv' or 'gpx'"),
            (single(atmosphere="model"), 400, "atmosphere is for profile=physical, profile is zpb"),
            (single(atmosphere="mars"), 400, "atmosphere is mars, it must be 'standard' or 'model'"),
            (single(profile="reverse"), 400, "profile is reverse, it must be 'zpb', 'standard', 'float' or 'physical'"),
            (
                single(timestamp=START - 1),
                400,
                "launch at 2026-11-18T23:59:59Z is outside the cycle, "
                "which covers 2026-11-19T00:00:00Z to 2026-11-20T00:00:00Z",
            ),
            (single(timestamp=START + 86401), 400, "launch at 2026-11-20T00:00:01Z is outside the cycle"),
            (single(eqtime=40), 400, "when the winds of the cycle end; it covers 2026-11-19T00:00:00Z to"),
            (single(timestamp=1e11), 400, "is outside the cycle"),
            (spaceshot(equil=10000, alt=30000), 400, "equil is 10000 m, below the launch altitude 30000 m"),
            (spaceshot(timestamp=START - 1), 400, "is outside the cycle, which covers"),
            (spaceshot(eqtime=40), 400, "when the winds of the cycle end"),
            (spaceshot(cycle="2026111906"), 404, "cycle 2026111906 is not in the bucket"),
            (url("/sim/wind", {**POINT, "model": "3"}), 404, "member 3 is not in cycle"),
            (url("/sim/wind", {**POINT, "timestamp": f"{START - 0.5}", "model": "0"}), 400, "2026-11-18T23:59:59.500Z"),
            (url("/sim/windensemble", {**POINT, "timestamp": f"{START + 86401}"}), 400, "is outside the cycle"),
            (url("/sim/windprofile", {**POINT, "timestamp": f"{START - 1}"}), 400, "is outside the cycle"),
            (url("/sim/windprofile", {**POINT, "cycle": "2026111906"}), 404, "cycle 2026111906 is not in the bucket"),
            (url("/sim/windensemble", {**POINT, "cycle": "2026111906"}), 404, "cycle 2026111906 is not in the bucket"),
            (url("/sim/wind", {**POINT, "cycle": "2026111906", "model": "0"}), 404, "cycle 2026111906 is not in the"),
            ("/sim/progress?request_id=unknown", 404, "no ensemble with request_id unknown"),
        ],
    )  # fmt: skip
    def test_refusals(self, client: FlaskClient, address: str, status: int, text: str) -> None:
        assert text in refusal(client.get(address), address.partition("?")[0], status)

    def test_the_first_and_the_last_moment_of_the_cycle_can_be_asked(self, client: FlaskClient) -> None:
        for time in (START, START + 86400):
            assert client.get(url("/sim/wind", {**POINT, "timestamp": str(time), "model": "0"})).status_code == 200
        assert client.get(single(timestamp=START)).status_code == 200

    @pytest.mark.parametrize("name", list(DISTRIBUTIONS))
    def test_perturbations_have_limits(self, client: FlaskClient, name: str) -> None:
        widest = DISTRIBUTIONS[name].widest
        for value in (
            "",
            "x",
            "nan",
            "inf",
            "-1",
            "-0.001",
            "1e400",
            "1_0",
            f"{widest + 0.001}",
            "\N{FULLWIDTH DIGIT ONE}",
        ):
            parameters = {**launch(), f"perturb.{name}": value}
            text = refusal(client.get(url("/sim/spaceshot", parameters)), "/sim/spaceshot")
            assert f"perturb.{name} is " in text
            assert f"0..{widest:g}" in text or "not a number" in text
        assert client.get(url("/sim/spaceshot", {**launch(), f"perturb.{name}": f"{widest:g}"})).status_code == 200
        twice = url("/sim/spaceshot", launch()) + f"&perturb.{name}=0&perturb.{name}=1"
        assert "2 times" in refusal(client.get(twice), "/sim/spaceshot")

    def test_an_unknown_perturbation_is_refused_with_the_known_ones(self, client: FlaskClient) -> None:
        text = refusal(client.get(spaceshot(perturb__wind=1)), "/sim/spaceshot")
        assert text == f"'perturb.wind' is unknown; parameters are {', '.join(DISTRIBUTIONS)}"


# --- Any query string at all


def numbers_of(parameter: Parameter) -> st.SearchStrategy[str]:
    low = parameter.schema.get("minimum", -1e6)
    high = parameter.schema.get("maximum", parameter.schema.get("exclusiveMaximum", 1e6))
    if parameter.name == "timestamp":
        low, high = START, START + 86400
    within = st.floats(low, high).map(str)
    if parameter.schema["type"] == "integer":
        within = st.integers(int(low), min(int(high), 5)).map(str)
    return st.one_of(*[within] * 9, st.sampled_from([str(low), str(high), *HUGE, *NOT_NUMBERS]))


def values_of(parameter: Parameter) -> st.SearchStrategy[str]:
    if parameter.numeric:
        return numbers_of(parameter)
    if parameter.schema.get("format") == "date-time":
        moments = st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='seconds')}Z")
        near = st.integers(0, 23).map(lambda hour: f"2026-11-19T{hour:02d}:00:00Z")
        return st.one_of(near, near, moments, st.sampled_from(NOT_MOMENTS))
    known = parameter.schema.get("enum") or [parameter.schema.get("const") or CYCLE]
    return st.one_of(st.sampled_from(known), st.sampled_from(known), st.text(max_size=70))


def queries(found: list[Parameter]) -> st.SearchStrategy[tuple[str, list[tuple[str, str]]]]:
    """A route and its parameters: mostly good, some changed, some left out, some strange ones added."""

    def of_route(path: str) -> st.SearchStrategy[tuple[str, list[tuple[str, str]]]]:
        changed = st.fixed_dictionaries({}, optional={p.name: values_of(p) for p in found if p.path == path})
        strange = st.dictionaries(
            st.one_of(st.sampled_from([f"perturb.{name}" for name in DISTRIBUTIONS]), st.text(max_size=20)),
            st.one_of(st.floats(0, 1).map(str), st.text(max_size=70)),
            max_size=2,
        )
        left_out = st.sets(st.sampled_from(sorted(GOOD[path])), max_size=1)
        return st.tuples(changed, strange, st.one_of(st.just(set[str]()), left_out)).map(
            lambda parts: (
                path,
                [(k, v) for k, v in {**GOOD[path], **parts[0], **parts[1]}.items() if k not in parts[2]],
            )
        )

    return st.sampled_from(sorted(set(GOOD) - {"/sim/progress-stream"})).flatmap(of_route)


@pytest.fixture(scope="module")
def small_service(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], FlaskClient]:
    folder = tmp_path_factory.mktemp("any")
    make_bucket(folder / "bucket", members=2)
    app = create_app(make_settings(folder, bucket_folder=folder / "bucket"))
    return app.test_client


def finite(content: Any) -> bool:
    if isinstance(content, dict):
        return all(finite(value) for value in content.values())
    if isinstance(content, list):
        return all(finite(value) for value in content)
    return not isinstance(content, float) or math.isfinite(content)


class TestAnyQuery:
    @settings(
        max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(data=st.data())
    def test_the_answer_is_good_or_the_callers_fault(
        self, small_service: Callable[[], FlaskClient], parameters: list[Parameter], data: st.DataObject
    ) -> None:
        path, query = data.draw(queries(parameters))
        response = ask(small_service(), path, query)
        if response.status_code != 200:
            assert 400 <= response.status_code < 500, response.text
            refusal(response, path, response.status_code)
        elif response.mimetype == "application/json":
            body = json.loads(response.data, parse_constant=lambda word: pytest.fail(f"{word} in an answer"))
            assert finite(body)
            # What is no number becomes null on the way out.
            lines = {"/sim/singlezpb": body, "/sim/wind": body, "/sim/elev": body, TAWHIRI_PATH: None}.get(path)
            assert "null" not in json.dumps(lines if lines is not None else {})


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (single() + "&ceoff=0.5", "'ceoff' is unknown; did you mean coeff?"),
        (single() + "&latt=3", "'latt' is unknown; did you mean lat?"),
        (spaceshot() + "&num_perturbation=50", "'num_perturbation' is unknown; did you mean num_perturbations?"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_right_one(client: FlaskClient, address: str, sentence: str) -> None:
    assert refusal(client.get(address), address) == sentence


def test_names_of_other_programs_are_left_alone(client: FlaskClient) -> None:
    assert client.get(single() + "&_=1700000000").status_code == 200


def test_a_path_of_too_many_points_is_refused(client: FlaskClient) -> None:
    address = single(asc=0.25, desc=0.25, eqtime=48, step=5)
    assert "points, the limit is 60000; take a longer step" in refusal(client.get(address), address)
