"""The README tells the truth: its settings are those of settings.py, its commands exist, its requests are answered."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient

from api.reverse_bodies import SearchBody
from app import create_app
from settings import Settings
from store.manifest import cycle_at, cycle_start
from tests.worlds import make_bucket, make_settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = [line[4:] for line in README.splitlines() if line.startswith("    ")]
URLS = [match[1] for line in CODE if (match := re.match(r'curl (?:-N )?"([^"]+)"', line))]
SHELL = [match.groups() for line in CODE if (match := re.fullmatch(r'([A-Z]+)="(profile=[^"]*)"', line))]
POSTS = re.findall(r"curl -H 'Content-Type: application/json' (\S+) \\\n\s+-d '([^']+)'\n(.*)", "\n".join(CODE))
# What the shell would put in: a launch six hours into the cycle of the test's bucket.
START = cycle_start(cycle_at(time.time()))
LAUNCH = f"timestamp={START + 21600:.0f}&lat=37.3553&lon=-121.8763&alt=24&equil=30000&eqtime=1&asc=4&desc=8"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    folder = tmp_path_factory.mktemp("readme")
    make_bucket(folder / "bucket", cycle=cycle_at(time.time()))
    yield create_app(make_settings(folder, bucket_folder=folder / "bucket")).test_client()


def filled(url: str) -> str:
    """The path and query of a README address with the shell's parts filled in."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START + 21600))
    url = re.sub(r"\$\(date [^)]*\)", moment, url)
    for name, value in SHELL:
        url = url.replace(f"${name}", value)
    url = url.replace("$LAUNCH", LAUNCH).replace("$T", f"{START + 21600:.0f}")
    parts = urlsplit(url)
    assert parts.netloc == "127.0.0.1:8000"
    return f"{parts.path}?{parts.query}"


def test_both_commands_come_first() -> None:
    assert [line.split("#")[0].strip() for line in CODE[:2]] == ["make run", "make test"]


def test_nothing_is_left_to_fill_in() -> None:
    assert not re.findall(r"@[A-Z]+@|TODO|TBD", README)


def test_every_setting_is_listed_with_its_default_and_meaning() -> None:
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (.*) \|$", README, flags=re.MULTILINE))
    expected = {}
    for field in Settings.model_fields.values():
        default = "" if field.default is None else f"`{field.default}`"
        expected[str(field.validation_alias)] = f"{default} | {field.description}"
    assert rows == expected


@pytest.mark.parametrize("url", URLS)
def test_a_request_of_the_readme_is_answered(client: FlaskClient, url: str) -> None:
    if "progress-stream" in url:
        pytest.skip("a stream ends only with its request; tests/api/test_streams.py has it")
    response = client.get(filled(url))
    assert response.status_code == (400 if "coeff=9" in url else 200), response.text
    if "coeff=9" in url:
        assert response.text in README


@pytest.mark.parametrize(("url", "body", "answer"), POSTS)
def test_a_body_of_the_readme_gets_its_answer(client: FlaskClient, url: str, body: str, answer: str) -> None:
    response = client.post(filled(url).rstrip("?"), data=body, content_type="application/json")
    assert response.status_code == (400 if answer.startswith('{"error"') else 200)
    for part in answer.split("…"):
        assert part.strip(" ,") in response.text


def test_balloons_are_sized_in_the_readme() -> None:
    assert [json.loads(body).get("envelope") for _, body, _ in POSTS] == ["kaymont-1200", None]


def test_the_search_of_the_readme_is_understood() -> None:
    """Both missions, with the shell's times filled in."""
    text = re.search(r"cat > search\.json <<END\n(.*?)\n +END\n", README, re.DOTALL)
    assert text is not None
    search = json.loads(text[1].replace("$FROM", "2026-11-22T00:00:00Z").replace("$TO", "2026-11-24T00:00:00Z"))
    assert SearchBody.model_validate(search).config()["balloons"]
    other = re.search(r'    ("mission": "target_window",\n.*?})\n', README, re.DOTALL)
    assert other is not None
    kept = {name: search[name] for name in ("target", "area", "balloons")}
    assert SearchBody.model_validate({**kept, **json.loads(f"{{{other[1]}}}")}).config()["arrival"]["days"] == 1.0


def accounts_commands() -> list[list[str]]:
    """The words of each curl of "Work together"; one command may take several lines."""
    section = README.partition("## Work together")[2].partition("\n## ")[0]
    lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    found = []
    for number, line in enumerate(lines):
        if line.startswith("curl"):
            text = line
            for following in lines[number + 1 :]:
                if text.count("'") % 2 == 0:
                    break
                text += "\n" + following
            text = re.sub("'\\$T'", f"{START + 21600:.0f}", text)
            found.append(shlex.split(text))
    return found


def test_the_course_of_an_account_is_as_shown(client: FlaskClient) -> None:
    """Register, sign in, submit, look, read: only the ids and the token differ."""
    shown, token = "", ""
    for words in accounts_commands():
        path = next(word for word in words if word.startswith("$API")).replace("$API", "/api/v1")
        shown_id = re.search(r"simulations/([0-9a-f-]{36})", path)
        if shown_id is not None:
            path = path.replace(shown_id[1], shown)
        headers = {"Authorization": f"Bearer {token}"} if "$TOKEN" in words else {}
        if "-d" in words:
            body = json.loads(words[words.index("-d") + 1])
            response = client.post(path, json=body, headers=headers)
        else:
            response = client.get(path, headers=headers)
        # No worker runs here, so the result is not there yet.
        assert response.status_code in ({409} if path.endswith("/results") else {200, 201, 202}), response.text
        answer = response.json
        assert answer is not None
        token = answer.get("token", token)
        shown = answer.get("id", shown)
    assert len(accounts_commands()) == 5


@pytest.mark.parametrize(
    "route",
    ["/sim/singlezpb", "/sim/spaceshot", "/sim/progress-stream", "/sim/wind", "/sim/windensemble", "/sim/windprofile",
     "/sim/elev", "/sim/which", "/sim/status", "/api/v1/", "/api/v1/balloon-specs"],
)  # fmt: skip
def test_a_main_route_has_its_example(route: str) -> None:
    assert any(urlsplit(url).path == route for url in URLS)


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"(?:^ {4}(?:\w+=\S+ )*|`)make ([a-z]+)", text, flags=re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
