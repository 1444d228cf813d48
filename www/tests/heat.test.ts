import { describe, expect, test, vi } from "vitest";

// Leaflet wants a browser as soon as it is imported; what is tested here does not need it.
vi.mock("leaflet", () => ({ GridLayer: class {}, Layer: class {} }));
const { bandwidth, density, gridOver, ramp } = await import("../src/heat");

/** Normal numbers that are the same in every run: quantiles at evenly spread, shuffled places. */
function normals(count: number, seed: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const u = (((i + 1) * 0.6180339887 + seed) % 1) * 0.9998 + 0.0001;
    const v = ((i + 1) * 0.7548776662 + seed) % 1;
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  });
}

describe("bandwidth", () => {
  const east = normals(2000, 0.1);
  const north = normals(2000, 0.6);
  const points = east.map((x, i) => ({ lat: 60 + 0.1 * north[i]!, lon: 200 + 0.4 * x, weight: 1 }));

  test("is Scott's: the spread in metres times n to the power -1/6", () => {
    const { x, y } = bandwidth(points);
    expect(x / (0.4 * 111_195 * Math.cos(Math.PI / 3) * 2000 ** (-1 / 6))).toBeCloseTo(1, 1);
    expect(y / (0.1 * 111_195 * 2000 ** (-1 / 6))).toBeCloseTo(1, 1);
  });

  test("does not depend on the scale of the weights, and a point of no weight counts for nothing", () => {
    const expected = bandwidth(points);
    const others = [...points.map((point) => ({ ...point, weight: 0.01 })), { lat: 0, lon: 0, weight: 0 }];
    expect(bandwidth(others).x).toBeCloseTo(expected.x, 6);
    expect(bandwidth(others).y).toBeCloseTo(expected.y, 6);
  });

  test("is 25 m where there is no spread", () => {
    expect(bandwidth([])).toEqual({ x: 25, y: 25 });
    expect(bandwidth([{ lat: 40, lon: -120, weight: 2 }])).toEqual({ x: 25, y: 25 });
  });
});

describe("density", () => {
  const box = { left: 1000, top: 500, right: 1400, bottom: 800 };

  test.each([
    [3, 3],
    [8, 5],
    [30, 12],
    [40, 35],
  ])("keeps the weight of the points, with bandwidths of %i and %i pixels", (sigmaX, sigmaY) => {
    const points = [
      { x: 1200.3, y: 650.9, weight: 2 },
      { x: 1177, y: 641, weight: 0.5 },
    ];
    const cells = density(points, gridOver(box, sigmaX, sigmaY), sigmaX, sigmaY);
    expect(cells.reduce((sum, cell) => sum + cell, 0)).toBeCloseTo(2.5, 2);
  });

  test("is greatest where the points are", () => {
    const grid = gridOver(box, 6, 6);
    const cells = density(
      [
        { x: 1101, y: 702, weight: 1 },
        { x: 1300, y: 600, weight: 0.6 },
      ],
      grid,
      6,
      6,
    );
    const most = cells.indexOf(Math.max(...cells));
    expect(grid.left + ((most % grid.columns) + 0.5) * grid.cellX).toBeCloseTo(1101, -1);
    expect(grid.top + (Math.floor(most / grid.columns) + 0.5) * grid.cellY).toBeCloseTo(702, -1);
  });

  test("a point beside the grid reaches into it, and one far away does not", () => {
    const grid = gridOver(box, 20, 20);
    const sum = (x: number) => density([{ x, y: 650, weight: 1 }], grid, 20, 20).reduce((sum, cell) => sum + cell, 0);
    expect(sum(grid.left)).toBeCloseTo(0.5, 1);
    expect(sum(grid.left - 30)).toBeGreaterThan(0.02);
    expect(sum(0)).toBe(0);
    expect(sum(9000)).toBe(0);
  });

  test("a grid does not shift against the plane when the box does", () => {
    const moved = gridOver({ left: 1001, top: 501, right: 1401, bottom: 801 }, 3, 3);
    expect((moved.left - gridOver(box, 3, 3).left) % moved.cellX).toBe(0);
  });

  test("a grid stays small however large the map is", () => {
    const { columns, rows } = gridOver({ left: 0, top: 0, right: 8000, bottom: 5000 }, 3, 3);
    expect(columns * rows).toBeLessThan(210_000);
  });
});

describe("ramp", () => {
  const luminance = (red: number, green: number, blue: number) => {
    const linear = (value: number) => (value <= 10.3 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  };

  test.each([
    ["light", -1],
    ["dark", 1],
  ] as const)("of the %s map goes one way in brightness, and from clear to opaque", (theme, way) => {
    const colours = ramp(theme);
    const at = (i: number) => colours.slice(4 * i, 4 * i + 4) as unknown as [number, number, number, number];
    expect(at(0)[3]).toBe(0);
    expect(at(255)[3]).toBeGreaterThan(170);
    for (let i = 1; i < 256; i++) {
      // A channel is a whole number: one step of it may go astray.
      const step =
        luminance(...(at(i).slice(0, 3) as [number, number, number])) -
        luminance(...(at(i - 1).slice(0, 3) as [number, number, number]));
      expect(step * way).toBeGreaterThanOrEqual(-1e-9);
      expect(at(i)[3]).toBeGreaterThanOrEqual(at(i - 1)[3]);
    }
    expect(
      Math.abs(
        luminance(...(at(255).slice(0, 3) as [number, number, number])) -
          luminance(...(at(0).slice(0, 3) as [number, number, number])),
      ),
    ).toBeGreaterThan(0.6);
  });
});
