import { expect, test } from "vitest";
import { bodyOf, draftOf, type SearchBody } from "../src/missions/searches";
import { searchLine, searchRows } from "../src/missions/searchtext";
import { DEFAULT_PLAN } from "../src/plan";

const FROM = Date.UTC(2026, 10, 22, 6) / 1000;
const DAY = 86_400;
const draft = { ...draftOf({ ...DEFAULT_PLAN, lat: 37.5, lon: -120.9 }, FROM, FROM + 3 * DAY) };
const rows = (body: SearchBody) => Object.fromEntries(searchRows(body, "metric"));

test("a search for landings in a line", () => {
  expect(searchLine(bodyOf(draft), "metric")).toBe(
    "To land within 10.0 km of 37.50000, -120.90000, launched 22 Nov 06:00 to 25 Nov 06:00 UTC",
  );
  expect(searchLine(bodyOf({ ...draft, hit: "pass" }), "imperial")).toMatch(/^To pass within 6.2 mi of/);
  const target = { ...draft.target, lowest: 5000, highest: 9000 };
  expect(searchLine(bodyOf({ ...draft, hit: "pass", target }), "metric")).toMatch(
    /^To pass within 10.0 km of 37.50000, -120.90000, 5,000 m to 9,000 m high, launched /,
  );
});

test("a search for a time at the target in a line", () => {
  expect(searchLine(bodyOf({ ...draft, mission: "target_window" }), "metric")).toBe(
    "To be within 10.0 km of 37.50000, -120.90000 at 2026-11-25 06:00 UTC",
  );
});

test("all of a search in words", () => {
  const target = { ...draft.target, lowest: 1000, highest: 3000 };
  const area = { ...draft.area, shape: "square" as const };
  expect(rows(bodyOf({ ...draft, target, area, members: [0, 3], refine: false }))).toEqual({
    Target: "10.0 km around 37.50000, -120.90000, 1,000 m to 3,000 m high",
    "What counts": "a landing in it",
    "Launch places": "Square of half side 100 km around 37.50000, -120.90000, every 10.0 km",
    "Launch times": "2026-11-22 06:00 UTC to before 2026-11-25 06:00 UTC, every 6 h",
    Balloons: "Balloon: 5.0 m/s up, burst at 30,000 m, 5.0 m/s down",
    Members: "0, 3",
    Flown: "every launch, hopeless ones too",
  });
});

test("an arrival in words", () => {
  const found = rows(bodyOf({ ...draft, mission: "target_window", days: 1 }));
  expect(found["What counts"]).toBe("being in it at 2026-11-25 06:00 UTC, 30 min before or after");
  expect(found["Launch times"]).toBe("In the day before, every 6 h");
});

test("balloons in words: one that floats, and one that is sized", () => {
  const body = bodyOf(draft);
  const float = { ...body.balloons[0]!, name: "F", profile: "float" as const, eqtime: 2, coeff: 0.9 };
  const sized = { name: "S", profile: "physical", envelope: "kaymont-1200", payload_mass: 1, asc: 5, desc: 6 };
  const found = searchRows({ ...body, balloons: [float, sized] } as SearchBody, "metric");
  expect(found.map(([, text]) => text)).toEqual(
    expect.arrayContaining([
      "F: 5.0 m/s up, float at 30,000 m for 2 h, 0.9 of the wind",
      "S: kaymont-1200 with a payload of 1.00 kg, helium to climb at 5.0 m/s at the launch, 6.0 m/s down",
    ]),
  );
});
