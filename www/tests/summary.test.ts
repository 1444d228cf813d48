import { describe, expect, it } from "vitest";
import type { Flight, FlightPoint, PhaseName } from "../src/flight";
import { at, marksOf, summarize, waypoints } from "../src/summary";

// One degree of longitude on the equator, on a sphere of 6371009 m.
const DEGREE = (Math.PI * 6371009) / 180;

const point = (time: number, lon: number, alt: number, wind = 0): FlightPoint => ({
  time,
  lat: 0,
  lon,
  alt,
  u: wind,
  v: 0,
});
const phase = (name: PhaseName, ...points: FlightPoint[]) => ({ name, points });

const up = phase("ascent", point(0, 0, 0, 3), point(600, 1, 3000, 9));
const down = phase("descent", point(600, 1, 3000, 9), point(1200, 2, 100, 4));
const BURST: Flight = { member: 0, phases: [up, down] };
const FLOAT: Flight = {
  member: 0,
  phases: [
    up,
    phase("coast", point(600, 1, 3000), point(1200, 2, 3000)),
    phase("descent", point(1200, 2, 3000), point(1500, 3, 0)),
  ],
};
const STAYS: Flight = { member: 0, phases: FLOAT.phases.slice(0, 2) };

describe("a summary", () => {
  it("says when, where and how far", () => {
    const found = summarize(BURST);
    expect(found.duration).toBe(1200);
    expect(found.distance).toBeCloseTo(2 * DEGREE, 3);
    expect(found.bearing).toBeCloseTo(90, 6);
    expect(found.highest.alt).toBe(3000);
    expect(found.strongestWind).toBe(9);
    expect(found.lands).toBe(true);
  });

  it("does not say that a flight lands which stays up", () => {
    expect(summarize(STAYS).lands).toBe(false);
  });
});

describe("the moments of a flight", () => {
  const names = (flight: Flight) => marksOf(flight).map(({ name }) => name);

  it("are its launch, burst and landing", () => expect(names(BURST)).toEqual(["Launch", "Burst", "Landing"]));
  it("are float and descent where it stays a while", () => {
    expect(names(FLOAT)).toEqual(["Launch", "Float", "Descent", "Landing"]);
  });
  it("end without a landing where it stays", () => expect(names(STAYS)).toEqual(["Launch", "Float", "End"]));
  it("have a burst where the time at float is nothing", () => {
    const coast = phase("coast", point(600, 1, 3000));
    expect(names({ member: 0, phases: [up, coast, down] })).toEqual(["Launch", "Burst", "Landing"]);
  });
});

describe("the flight at a time", () => {
  const points = up.points;
  it("is between its points", () => {
    expect(at(points, 300)).toEqual({ time: 300, lat: 0, lon: 0.5, alt: 1500, u: 6, v: 0 });
  });
  it("is nowhere before and after it", () => {
    expect(at(points, -1)).toBeNull();
    expect(at(points, 601)).toBeNull();
    expect(at([], 0)).toBeNull();
  });
});

describe("waypoints", () => {
  it("are at round times within the flight", () => {
    expect(waypoints(BURST).map(({ time }) => time)).toEqual([300, 600, 900]);
  });
  it("are no more than can be told apart, however long the flight", () => {
    const long = phase("ascent", point(0, 0, 0), point(40 * 3600, 50, 20000));
    const found = waypoints({ member: 0, phases: [long] });
    expect(found.length).toBeGreaterThan(4);
    expect(found.length).toBeLessThanOrEqual(12);
  });
});
