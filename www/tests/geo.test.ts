import { describe, expect, test } from "vitest";
import {
  bearing,
  destination,
  distance,
  EARTH_RADIUS,
  ellipseOutline,
  inside,
  nearest,
  shareInside,
  unroll,
  unrollPolygons,
  wrap,
} from "../src/geo";

const DEGREE_M = (EARTH_RADIUS * Math.PI) / 180;
const at = (lat: number, lon: number) => ({ lat, lon });

describe("longitudes", () => {
  test.each([
    [0, 0],
    [180, 180],
    [-180, -180],
    [190, -170],
    [360, 0],
    [-190, 170],
    [730, 10],
  ])("%d is %d within -180..180", (lon, wrapped) => {
    expect(wrap(lon)).toBeCloseTo(wrapped, 12);
  });

  test("a meridian is named near another", () => {
    expect(nearest(-179, 179)).toBe(181);
    expect(nearest(179, -179)).toBe(-181);
    expect(nearest(10, 3600)).toBe(3610);
    expect(nearest(238.5, -120)).toBe(-121.5);
  });

  test("a track is continuous and starts near", () => {
    expect(unroll([178, 179.5, -179, -178, 179], 0)).toEqual([178, 179.5, 181, 182, 179]);
    expect(unroll([178, -179], -170)).toEqual([-182, -179]);
    expect(unroll([358, 2], 0)).toEqual([-2, 2]);
    expect(unroll([], 0)).toEqual([]);
  });
});

describe("the sphere", () => {
  test("distances", () => {
    expect(distance(at(0, 0), at(1, 0))).toBeCloseTo(DEGREE_M, 3);
    expect(distance(at(60, 179.5), at(60, -179.5))).toBeCloseTo(
      2 * EARTH_RADIUS * Math.asin(0.5 * Math.sin(Math.PI / 360)),
      3,
    );
    expect(distance(at(90, 20), at(-90, 77))).toBeCloseTo(Math.PI * EARTH_RADIUS, 3);
    expect(distance(at(37, 200), at(37, -160))).toBeCloseTo(0, 3);
    // Published for Paris and New York on a sphere of 6371 km: 5837 km.
    expect(distance(at(48.8566, 2.3522), at(40.7128, -74.006)) / 1000).toBeCloseTo(5837, -1);
  });

  test("the other side of the Earth is half its girth away, although the haversine is rounded to above 1", () => {
    const far = distance(at(59.60023262716419, 0), at(-59.60023262726747, 180));
    expect(far).toBeCloseTo(Math.PI * EARTH_RADIUS, 0);
  });

  test("bearings", () => {
    expect(bearing(at(0, 0), at(1, 0))).toBeCloseTo(0, 9);
    expect(bearing(at(0, 179), at(0, -179))).toBeCloseTo(90, 9);
    expect(bearing(at(10, 5), at(-10, 5))).toBeCloseTo(180, 9);
    expect(bearing(at(0, 5), at(0, 4))).toBeCloseTo(270, 9);
    // Baghdad to Osaka, a textbook example: 60 degrees.
    expect(bearing(at(35, 45), at(35, 135))).toBeCloseTo(60.16, 2);
  });

  test("a destination is as far and in the direction that was asked for, also across the antimeridian", () => {
    expect(destination(at(0, 179), 90, 2 * DEGREE_M)).toEqual({
      lat: expect.closeTo(0, 9),
      lon: expect.closeTo(181, 9),
    });
    expect(destination(at(89, 10), 0, 2 * DEGREE_M).lat).toBeCloseTo(89, 9);
    for (const course of [0.5, 73, 145, 233, 359]) {
      const end = destination(at(-41, 174), course, 400_000);
      expect(distance(at(-41, 174), end)).toBeCloseTo(400_000, 3);
      expect(bearing(at(-41, 174), end)).toBeCloseTo(course, 6);
    }
  });

  test("an ellipse has its axes where they belong", () => {
    const centre = at(40, 179.9);
    const outline = ellipseOutline(centre, 50_000, 20_000, 30, 4);
    expect(outline.map((corner) => distance(centre, corner))).toEqual(
      [50_000, 20_000, 50_000, 20_000].map((far) => expect.closeTo(far, 3)),
    );
    expect(outline.map((corner) => bearing(centre, corner))).toEqual(
      [30, 120, 210, 300].map((course) => expect.closeTo(course, 6)),
    );
    for (const { lon } of outline) expect(Math.abs(lon - 179.9)).toBeLessThan(1);
  });

  test("between its axes an ellipse keeps to its equation", () => {
    const outline = ellipseOutline(at(0, 0), 3000, 1000, 90, 24);
    expect(outline).toHaveLength(24);
    for (const { lat, lon } of outline) {
      expect(((lon * DEGREE_M) / 3000) ** 2 + ((lat * DEGREE_M) / 1000) ** 2).toBeCloseTo(1, 5);
    }
  });
});

describe("a zone", () => {
  const square = [at(0, 0), at(0, 10), at(10, 10), at(10, 0)];
  const dateline = [at(-10, 170), at(-10, -170), at(10, -170), at(10, 170)];

  test("holds what is between its corners", () => {
    expect(inside(at(5, 5), square)).toBe(true);
    expect(inside(at(5, 365), square)).toBe(true);
    for (const outside of [at(5, 11), at(5, -1), at(11, 5), at(-1, 5), at(5, 185)])
      expect(inside(outside, square)).toBe(false);
  });

  test("lies right across the antimeridian, however its longitudes are named", () => {
    const named = [dateline, dateline.map(({ lat, lon }) => at(lat, lon < 0 ? lon + 360 : lon)), dateline.toReversed()];
    for (const zone of named) {
      for (const lon of [171, 180, -180, -171, 189, -189]) expect(inside(at(0, lon), zone)).toBe(true);
      for (const lon of [169, -169, 0, 191]) expect(inside(at(0, lon), zone)).toBe(false);
    }
  });

  test("may be concave, and cross itself", () => {
    const notch = [at(0, 0), at(0, 10), at(10, 10), at(1, 5), at(10, 0)];
    expect(inside(at(5, 5), notch)).toBe(false);
    expect(inside(at(5, 1), notch)).toBe(true);
    const star = [0, 2, 4, 1, 3].map((i) =>
      at(10 * Math.cos((i * 2 * Math.PI) / 5), 10 * Math.sin((i * 2 * Math.PI) / 5)),
    );
    expect(inside(at(0, 0), star)).toBe(false);
    expect(inside(at(8, 0), star)).toBe(true);
  });

  test("counts a point north of a corner once", () => {
    const diamond = [at(0, 5), at(5, 10), at(10, 5), at(5, 0)];
    expect(inside(at(5, 5), diamond)).toBe(true);
    expect(inside(at(-1, 5), diamond)).toBe(false);
    expect(inside(at(11, 5), diamond)).toBe(false);
  });

  test("of fewer than three corners holds nothing", () => {
    for (const zone of [[], [at(0, 0)], [at(0, 0), at(0, 10)]]) expect(inside(at(-1, 5), zone)).toBe(false);
  });

  test("holds a share of the weight, not of the points", () => {
    const points = [
      { ...at(5, 5), weight: 2 },
      { ...at(50, 5), weight: 1 },
      { ...at(-5, 5), weight: 1 },
    ];
    expect(shareInside(points, square)).toBe(0.5);
    expect(shareInside([], square)).toBe(0);
  });
});

describe("areas to draw", () => {
  // A square from 175 to -175, cut at the antimeridian.
  const west = [
    [
      [175, 0],
      [180, 0],
      [180, 10],
      [175, 10],
      [175, 0],
    ],
  ];
  const east = [
    [
      [-180, 0],
      [-175, 0],
      [-175, 10],
      [-180, 10],
      [-180, 0],
    ],
  ];

  test("are moved to where they are asked for, with no line along the cut", () => {
    const { fills, lines } = unrollPolygons([west, east], 179);
    expect(fills).toEqual([
      [
        [
          [0, 175],
          [0, 180],
          [10, 180],
          [10, 175],
          [0, 175],
        ],
      ],
      [
        [
          [0, 180],
          [0, 185],
          [10, 185],
          [10, 180],
          [0, 180],
        ],
      ],
    ]);
    expect(lines).toEqual([
      [
        [10, 180],
        [10, 175],
        [0, 175],
        [0, 180],
      ],
      [
        [0, 180],
        [0, 185],
        [10, 185],
        [10, 180],
      ],
    ]);
    const mirrored = unrollPolygons([west, east], -179)
      .fills.flat(2)
      .map(([, lon]) => lon);
    expect([Math.min(...mirrored), Math.max(...mirrored)]).toEqual([-185, -175]);
  });

  test("that are not cut are one line, holes too, and stay together", () => {
    const ring = [
      [-1, 0],
      [1, 0],
      [1, 2],
      [-1, 0],
    ];
    const hole = [
      [0, 0.5],
      [0.5, 0.5],
      [0.5, 1],
      [0, 0.5],
    ];
    const { fills, lines } = unrollPolygons([[ring, hole]], 360);
    expect(fills[0]!.map((corners) => corners[0])).toEqual([
      [0, 359],
      [0.5, 360],
    ]);
    expect(lines.map((line) => line.length)).toEqual([4, 4]);
  });

  test("round a pole have no line along it", () => {
    const cap = [
      [
        [-180, 80],
        [0, 85],
        [180, 80],
        [180, 90],
        [-180, 90],
        [-180, 80],
      ],
    ];
    expect(unrollPolygons([cap], 0).lines).toEqual([
      [
        [80, -180],
        [85, 0],
        [80, 180],
      ],
    ]);
  });
});
