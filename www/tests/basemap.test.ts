import { readFileSync } from "node:fs";
import { feature } from "topojson-client";
import { describe, expect, test, vi } from "vitest";
import type { Degrees, Line, View } from "../src/basemap";
import { degreeText, spacing } from "../src/graticule";

// Leaflet wants a browser as soon as it is imported; what is tested here does not need it.
vi.mock("leaflet", () => ({ GridLayer: class {}, Layer: class {}, TileLayer: class {} }));
const { isSeam, labelPlace, latitude, mercator, placeNames, toLine, trace, unwrap, unwrapRing, withoutSeams } =
  await import("../src/basemap");

describe("projection", () => {
  test("the map's corners are the corners of the unit square", () => {
    const [west, north] = mercator([-180, 85.0511287798066]);
    const [east, south] = mercator([180, -85.0511287798066]);
    expect([west, north, east, south].map((value) => Math.abs(Math.round(value * 1e9) / 1e9))).toEqual([0, 0, 1, 1]);
    expect(mercator([0, 0])).toEqual([0.5, 0.5]);
  });

  test("latitude undoes it", () => {
    for (const lat of [-80, -33.3, 0, 51, 78.2]) expect(latitude(mercator([0, lat])[1])).toBeCloseTo(lat, 9);
  });

  test("the poles stay finite, beyond the map's edge", () => {
    expect(mercator([0, -90])[1]).toBeGreaterThan(1.1);
    expect(mercator([0, 90])[1]).toBeLessThan(-0.1);
  });
});

describe("antimeridian", () => {
  test("longitudes go on beyond 180", () => {
    const line: Degrees[] = [
      [178, 0],
      [-179, 1],
      [-178, 2],
      [179, 3],
    ];
    expect(unwrap(line).map(([lon]) => lon)).toEqual([178, 181, 182, 179]);
  });

  test("only a way along 180 degrees is a seam", () => {
    expect(isSeam([180, 65], [180, 69])).toBe(true);
    expect(isSeam([-180, 65], [-180, 69])).toBe(true);
    expect(isSeam([540, 65], [540, 69])).toBe(true);
    expect(isSeam([180, 65], [181, 65])).toBe(false);
    expect(isSeam([179.9, 65], [179.9, 69])).toBe(false);
  });

  test("a coast is the ring without its seams", () => {
    const ring: Degrees[] = [
      [175, 60],
      [180, 60],
      [180, 62],
      [180, 64],
      [175, 64],
      [175, 60],
    ];
    expect(withoutSeams(ring)).toEqual([
      [
        [175, 60],
        [180, 60],
      ],
      [
        [180, 64],
        [175, 64],
        [175, 60],
      ],
    ]);
    const island: Degrees[] = [
      [10, 0],
      [12, 0],
      [11, 1],
      [10, 0],
    ];
    expect(withoutSeams(island)[0]).toBe(island);
  });

  test("a ring round the pole is closed below the map, at the antimeridian", () => {
    const ring: Degrees[] = [
      [0, -70],
      [90, -75],
      [179, -80],
      [-180, -80],
      [-90, -72],
      [0, -70],
    ];
    const closed = unwrapRing(ring);
    expect(closed.slice(-2)).toEqual([
      [180, -86],
      [-180, -86],
    ]);
    expect(closed[0]).toEqual([-180, -80]);
    expect(mercator(closed.at(-1)!)[1]).toBeGreaterThan(1);
  });

  test.each(["50m", "10m"])(
    "no step of the %s land is wider than a few degrees, so nothing is drawn across the map",
    (name) => {
      const atlas = JSON.parse(readFileSync(`node_modules/world-atlas/countries-${name}.json`, "utf8"));
      const { features } = feature(
        atlas,
        atlas.objects.land,
      ) as unknown as GeoJSON.FeatureCollection<GeoJSON.MultiPolygon>;
      const rings = features.flatMap((land) => land.geometry.coordinates.flat()) as Degrees[][];
      expect(rings.length).toBeGreaterThan(1000);
      const wide = rings.flatMap((ring) =>
        withoutSeams(unwrapRing(ring)).flatMap((line) =>
          line.filter(([lon, lat], i) => i > 0 && lat > -85.06 && Math.abs(lon - line[i - 1]![0]) > 9),
        ),
      );
      expect(wide).toEqual([]);
    },
  );
});

/** What a path was told to draw, as lists of points. */
function traced(line: Line, view: View, scale: number, shift = 0): [number, number][][] {
  const parts: [number, number][][] = [];
  const path = {
    moveTo: (x: number, y: number) => parts.push([[x, y]]),
    lineTo: (x: number, y: number) => parts.at(-1)!.push([x, y]),
  };
  trace(path as unknown as CanvasPath, line, view, [view.west, view.north], scale, shift);
  return parts;
}

function isInside(polygon: [number, number][], x: number, y: number): boolean {
  let inside = false;
  for (let i = 0; i < polygon.length; i++) {
    const [ax, ay] = polygon[i]!;
    const [bx, by] = polygon[(i + 1) % polygon.length]!;
    if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) inside = !inside;
  }
  return inside;
}

describe("drawing", () => {
  /** A ragged island of 5,000 points around 0, 0. */
  const island: Degrees[] = Array.from({ length: 5001 }, (_, i) => {
    const angle = ((i % 5000) / 5000) * 2 * Math.PI;
    const radius = 30 + 8 * Math.sin(7 * angle) + 3 * Math.sin(61 * angle) + 0.2 * Math.sin(1234 * angle);
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
  const line = toLine(island);
  const VIEWS = Array.from({ length: 64 }, (_, i) => {
    const west = 0.38 + 0.03 * (i % 8);
    const north = 0.38 + 0.03 * Math.floor(i / 8);
    return { west, north, east: west + 0.03, south: north + 0.03 };
  });

  test("a tile is filled as if the whole ring had been drawn", () => {
    const scale = 1e7;
    let fewer = 0;
    for (const view of VIEWS) {
      const whole = island.map((_, i): [number, number] => [
        (line.xy[2 * i]! - view.west) * scale,
        (line.xy[2 * i + 1]! - view.north) * scale,
      ]);
      const parts = traced(line, view, scale);
      fewer += parts.flat().length < 2000 ? 1 : 0;
      for (let k = 0; k < 100; k++) {
        const x = (((k % 10) + 0.5) / 10) * 0.03 * scale;
        const y = ((Math.floor(k / 10) + 0.5) / 10) * 0.03 * scale;
        expect(parts.some((part) => isInside(part, x, y))).toBe(isInside(whole, x, y));
      }
    }
    expect(fewer).toBe(VIEWS.length);
  });

  test("a ring whose last point is not its first is closed from its last", () => {
    const side = (from: Degrees, to: Degrees) =>
      Array.from(
        { length: 200 },
        (_, i): Degrees => [from[0] + ((to[0] - from[0]) * i) / 199, from[1] + ((to[1] - from[1]) * i) / 199],
      );
    const square = toLine([...side([-40, 40], [40, 40]), ...side([40, 40], [40, -40]), ...side([40, -40], [-40, -40])]);
    const view = { west: 0.45, north: 0.45, east: 0.55, south: 0.55 };
    const [part] = traced(square, view, 2560);
    for (const [x, y] of [
      [10, 10],
      [10, 240],
      [240, 10],
      [240, 240],
    ] as const)
      expect(isInside(part!, x, y)).toBe(true);
  });

  test("points closer than half a pixel are left out, the ends stay", () => {
    const [part] = traced(line, { west: 0, north: 0, east: 1, south: 1 }, 256);
    expect(part!.length).toBeLessThan(1000);
    expect(part!.at(-1)).toEqual(part![0]);
  });

  test("a line that is elsewhere is not drawn, but its copy a world away is", () => {
    const beyond = toLine([
      [179, 0],
      [182, 0],
      [182, 2],
    ]);
    const view = { west: 0, north: 0.4, east: 0.1, south: 0.6 };
    expect(traced(beyond, view, 2560)).toEqual([]);
    expect(traced(beyond, view, 2560, -1)[0]!.map(([x]) => Math.round(x))).toEqual([-7, 14, 14]);
  });
});

describe("degree lines", () => {
  test.each([
    [2, 0, 30],
    [4, 0, 10],
    [5, 0, 5],
    [7, 0, 2],
    [8, 0, 1],
    [9, 0, 0.5],
    [10, 0, 0.2],
    [11, 0, 0.1],
    [19, 0, 0.01],
    [6, 0, 5],
    [6, 65, 2],
    [6, -78, 1],
  ])("at zoom %i and latitude %i they are %f degrees apart", (zoom, lat, step) =>
    expect(spacing(zoom, lat)).toBe(step),
  );

  test.each([
    [0, 10, "lat", "0°"],
    [-33, 1, "lat", "33°S"],
    [78.5, 0.5, "lat", "78.5°N"],
    [0, 30, "lon", "0°"],
    [180, 30, "lon", "180°"],
    [-180, 30, "lon", "180°"],
    [190, 10, "lon", "170°W"],
    [-200, 10, "lon", "160°E"],
    [-122.30000000000001, 0.1, "lon", "122.3°W"],
    [8.05, 0.05, "lon", "8.05°E"],
    [-1e-15, 0.1, "lon", "0°"],
  ] as const)("%f with a step of %f of %s is written %s", (value, step, axis, text) =>
    expect(degreeText(value, step, axis)).toBe(text),
  );
});

describe("names", () => {
  test("a name stands in the broad part of its country", () => {
    // A square of 20 degrees with a long handle to the west.
    const pan: Degrees[] = [
      [0, -10],
      [20, -10],
      [20, 10],
      [0, 10],
      [0, 1],
      [-15, 1],
      [-15, 0.5],
      [0, 0.5],
      [0, -10],
    ];
    const { x, y, width } = labelPlace(pan);
    expect(x).toBeCloseTo(mercator([10, 0])[0], 6);
    expect(Math.abs(latitude(y))).toBeLessThan(6);
    expect(width).toBeCloseTo(20 / 360, 6);
  });

  test("names that have no room in their country wait for a nearer zoom, and none covers another", () => {
    const width = (text: string) => text.length * 0.6;
    const places = [
      { text: "Broadland", x: 0.5, y: 0.5, width: 0.1 },
      { text: "Isle", x: 0.52, y: 0.5, width: 0.0001 },
    ];
    const at = (zoom: number) => placeNames(places, zoom, width).map(({ text }) => text);
    expect(at(0)).toEqual([]);
    expect(at(3)).toEqual(["Broadland"]);
    expect(at(6)).toEqual(["Broadland", "Isle"]);
    expect(placeNames([places[0]!, { ...places[1]!, x: 0.501 }], 6, width).length).toBe(1);
  });
});
