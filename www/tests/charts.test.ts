import { describe, expect, it, vi } from "vitest";
import type { Flight, FlightPoint, PhaseName } from "../src/flight";

// The theme listens to the browser from its import on.
vi.mock("../src/theme", () => ({ onTheme: () => {} }));
const {
  circularDeviation,
  flightRows,
  flightSummaries,
  movedIndex,
  nearestIndex,
  phaseSeries,
  standardDeviation,
  timeLabels,
  windFrom,
  windName,
  windSummaries,
} = await import("../src/charts");

const NOON = Date.UTC(2026, 10, 21, 12) / 1000;

function point(time: number, alt: number, u = 0, v = 0): FlightPoint {
  return { time, alt, u, v, lat: 0, lon: 0 };
}

function flight(...phases: [PhaseName, FlightPoint[]][]): Flight {
  return { member: 0, phases: phases.map(([name, points]) => ({ name, points })) };
}

const altitude = ({ alt }: FlightPoint) => alt;

describe("the lines of the phases", () => {
  it("share the point that ends one phase and starts the next", () => {
    const rows = flightRows(
      flight(["ascent", [point(0, 10), point(60, 300)]], ["descent", [point(60, 300), point(90, 20)]]),
    );
    expect(rows.map((row) => row.point.time)).toEqual([0, 60, 90]);
    expect(phaseSeries(rows, altitude)).toEqual([
      [10, 300, null],
      [null, null, null],
      [null, 300, 20],
    ]);
  });

  it("join where the next phase starts at a later point", () => {
    const rows = flightRows(
      flight(
        ["ascent", [point(0, 10), point(60, 300)]],
        ["coast", [point(120, 301)]],
        ["descent", [point(180, 20), point(200, 5)]],
      ),
    );
    expect(phaseSeries(rows, altitude)).toEqual([
      [10, 300, null, null, null],
      [null, 300, 301, null, null],
      [null, null, 301, 20, 5],
    ]);
  });

  it("leave out a phase without points, and times that do not go on", () => {
    const rows = flightRows(
      flight(["ascent", [point(0, 1), point(0, 2), point(5, 3)]], ["coast", []], ["descent", [point(5, 3)]]),
    );
    expect(rows.map((row) => [row.point.alt, row.phases])).toEqual([
      [1, ["ascent"]],
      [3, ["ascent", "descent"]],
    ]);
  });

  it("are none for a flight without points", () => {
    expect(flightRows(flight(["ascent", []]))).toEqual([]);
  });
});

describe("the nearest index", () => {
  it.each([
    [-5, 0],
    [0, 0],
    [4.9, 0],
    [5, 0],
    [5.1, 1],
    [14, 1],
    [26, 3],
    [99, 3],
  ])("of %d in 0, 10, 20, 30 is %d", (wanted, index) => {
    expect(nearestIndex([0, 10, 20, 30], wanted)).toBe(index);
  });

  it("is that of the only value, and -1 without one", () => {
    expect(nearestIndex([7], 1000)).toBe(0);
    expect(nearestIndex([], 1)).toBe(-1);
  });
});

describe("keys", () => {
  it.each([
    ["ArrowRight", null, false, 0],
    ["ArrowLeft", null, false, 4],
    ["ArrowRight", 2, false, 3],
    ["ArrowRight", 4, false, 4],
    ["ArrowLeft", 0, false, 0],
    ["ArrowUp", 2, true, 3],
    ["ArrowDown", 2, true, 1],
    ["Escape", 2, false, null],
  ] as const)("%s at %s moves the cursor (vertical: %s) to %s", (key, index, vertical, moved) => {
    expect(movedIndex(key, index, 5, vertical)).toBe(moved);
  });

  it("are left to the page where they mean nothing", () => {
    expect(movedIndex("ArrowUp", 2, 5, false)).toBeUndefined();
    expect(movedIndex("ArrowRight", 2, 5, true)).toBeUndefined();
    expect(movedIndex("Escape", null, 5, false)).toBeUndefined();
    expect(movedIndex("a", 2, 5, false)).toBeUndefined();
  });
});

describe("labels of the time axis", () => {
  it("are in UTC, and give the date where it changes", () => {
    const hours = [10, 11, 12, 13].map((hour) => NOON + hour * 3600);
    expect(timeLabels(hours)).toEqual(["22:00\n21 Nov", "23:00", "00:00\n22 Nov", "01:00"]);
  });
});

describe("the direction the wind comes from", () => {
  it.each([
    [0, -1, 0, "north"],
    [-1, 0, 90, "east"],
    [0, 1, 180, "south"],
    [1, 0, 270, "west"],
    [1, -1, 315, "north-west"],
  ])("with %d eastward and %d northward is %d degrees, %s", (u, v, degrees, name) => {
    expect(windFrom(u, v)).toBeCloseTo(degrees, 9);
    expect(windName(degrees)).toBe(name);
  });

  it("is north from both sides of 0 degrees", () => {
    expect(windName(359)).toBe("north");
    expect(windName(-20)).toBe("north");
    expect(windName(22)).toBe("north");
  });
});

describe("spread", () => {
  it("of speeds is the standard deviation of a sample", () => {
    // Squares about the mean 5: 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32, over 7.
    expect(standardDeviation([2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(Math.sqrt(32 / 7), 12);
    expect(standardDeviation([3])).toBeNaN();
  });

  it("of directions does not see the step from 360 to 0", () => {
    const across = circularDeviation([350, 10]);
    expect(across).toBeCloseTo(circularDeviation([170, 190]), 9);
    // R = cos 10 degrees.
    expect(across).toBeCloseTo((Math.sqrt(-2 * Math.log(Math.cos(Math.PI / 18))) * 180) / Math.PI, 9);
    expect(circularDeviation([77, 77, 77])).toBeCloseTo(0, 5);
    expect(circularDeviation([77])).toBeNaN();
  });
});

describe("summaries", () => {
  const whole = flight(
    ["ascent", [point(NOON, 24, 3, 4), point(NOON + 5400, 30000, 30, -40)]],
    ["descent", [point(NOON + 7500, 100, 0, 1)]],
  );

  it("of a flight give its altitudes, its length and its strongest wind", () => {
    expect(flightSummaries(whole, "metric")).toEqual([
      "Altitude from 24 m to 30,000 m, landing after 2 h 05 min",
      "Wind speed along the flight from 1.0 m/s to 50.0 m/s, strongest at 30,000 m",
    ]);
    expect(flightSummaries(whole, "imperial")[0]).toBe("Altitude from 79 ft to 98,425 ft, landing after 2 h 05 min");
  });

  it("of a flight that ends in the air say no landing", () => {
    expect(flightSummaries(flight(["coast", [point(0, 100), point(600, 200)]]), "metric")[0]).toBe(
      "Altitude from 100 m to 200 m, ending after 10 min",
    );
  });

  it("of a wind give its members, its altitudes and the strongest mean", () => {
    const mean = { speed: [5, 38, 20], direction: [180, 268, 44] };
    const members = Array.from({ length: 21 }, (_, model) => ({ model, ...mean }));
    const altitudes = [24, 11500, 40000];
    expect(windSummaries({ altitudes, members, mean }, "metric")).toEqual([
      "Wind of 21 members from 24 m to 40,000 m: strongest mean 38.0 m/s from the west at 11,500 m",
      "Wind direction of 21 members from 24 m to 40,000 m: mean from the south at 24 m, from the north-east at 40,000 m",
    ]);
    expect(windSummaries({ altitudes, members: members.slice(1, 2), mean }, "metric")[0]).toContain("of 1 member from");
  });
});
