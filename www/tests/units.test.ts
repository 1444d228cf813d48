import { afterEach, describe, expect, test } from "vitest";
import type { Quantity } from "../src/plan";
import {
  decimals,
  formatAltitude,
  formatBearing,
  formatBytes,
  formatDistance,
  formatDuration,
  formatLocal,
  formatPercent,
  formatSpeed,
  formatUtc,
  formatUtcShort,
  fromDateTimeInput,
  fromShown,
  inputText,
  readNumber,
  toDateTimeInput,
  toShown,
  unitName,
} from "../src/units";

// 2026-11-21 12:00 UTC, by `date -u -d 2026-11-21T12:00 +%s`.
const NOON = 1795262400;

const QUANTITIES: Quantity[] = ["altitude", "distance", "verticalSpeed", "windSpeed", "hours", "minutes", "plain"];

describe("units", () => {
  test.each([
    // From the definitions: foot 0.3048 m, mile 1609.344 m.
    ["altitude", 3048, "ft", 10000],
    ["distance", 16093.44, "mi", 10],
    ["verticalSpeed", 5.08, "ft/min", 1000],
    ["windSpeed", 44.704, "mph", 100],
    ["hours", 2, "h", 2],
    ["minutes", 90, "min", 90],
    ["plain", 0.95, "", 0.95],
  ] as const)("%s %d is shown in imperial units", (quantity, value, name, shown) => {
    expect(unitName(quantity, "imperial")).toBe(name);
    expect(toShown(value, quantity, "imperial")).toBeCloseTo(shown, 9);
    expect(fromShown(shown, quantity, "imperial")).toBeCloseTo(value, 9);
  });

  test("metric units are those of the plan, but for kilometres", () => {
    expect(QUANTITIES.map((quantity) => unitName(quantity, "metric"))).toEqual([
      "m",
      "km",
      "m/s",
      "m/s",
      "h",
      "min",
      "",
    ]);
    expect(QUANTITIES.map((quantity) => toShown(1500, quantity, "metric"))).toEqual([
      1500, 1.5, 1500, 1500, 1500, 1500, 1500,
    ]);
    expect(fromShown(1.5, "distance", "metric")).toBe(1500);
  });

  test("the text of an input has the decimals it needs and no more", () => {
    expect(inputText(30000, "altitude", "imperial")).toBe("98425");
    expect(inputText(5, "verticalSpeed", "metric")).toBe("5");
    expect(inputText(5.25, "verticalSpeed", "metric")).toBe("5.25");
    expect(inputText(5, "verticalSpeed", "imperial")).toBe("984");
    expect(inputText(-121.8763, "plain", "metric")).toBe("-121.8763");
    expect(inputText(2 ** 53 - 1, "plain", "metric")).toBe("9007199254740991");
    expect(decimals("altitude", "metric")).toBe(0);
  });
});

describe("text", () => {
  test("altitudes are whole and grouped", () => {
    expect(formatAltitude(30000, "metric")).toBe("30,000 m");
    expect(formatAltitude(30000, "imperial")).toBe("98,425 ft");
    expect(formatAltitude(-0.3, "metric")).toBe("0 m");
    expect(formatAltitude(Number.NaN, "metric")).toBe("– m");
  });

  test.each([
    [0, "0 m", "0 ft"],
    [850.4, "850 m", "2,790 ft"],
    [999.4, "999 m", "3,279 ft"],
    [999.6, "1.0 km", "3,280 ft"],
    [1609.2, "1.6 km", "1.0 mi"],
    [12345, "12.3 km", "7.7 mi"],
    [99960, "100 km", "62.1 mi"],
    [1234567, "1,235 km", "767 mi"],
  ])("a distance of %d m changes its unit where it is rounded up to it", (metres, metric, imperial) => {
    expect(formatDistance(metres, "metric")).toBe(metric);
    expect(formatDistance(metres, "imperial")).toBe(imperial);
  });

  test("speeds", () => {
    expect(formatSpeed(12.54, "metric")).toBe("12.5 m/s");
    expect(formatSpeed(12.54, "imperial")).toBe("28 mph");
    expect(formatSpeed(5, "metric", "verticalSpeed")).toBe("5.0 m/s");
    expect(formatSpeed(5, "imperial", "verticalSpeed")).toBe("984 ft/min");
  });

  test.each([
    [0, "0 s"],
    [59.4, "59 s"],
    [59.6, "1 min"],
    [7500, "2 h 05 min"],
    [7199, "2 h 00 min"],
    [3569, "59 min"],
    [180000, "50 h 00 min"],
    [-300, "-5 min"],
  ])("%d seconds are %s", (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });

  test.each([
    [73, "073° ENE"],
    [0, "000° N"],
    [359.7, "000° N"],
    [11.24, "011° N"],
    [11.26, "011° NNE"],
    [-90, "270° W"],
    [225, "225° SW"],
    [720, "000° N"],
  ])("a bearing of %d is %s", (degrees, text) => {
    expect(formatBearing(degrees)).toBe(text);
  });

  test.each([
    [0, "0 %"],
    [0.0001, "<1 %"],
    [0.009, "<1 %"],
    [0.01, "1 %"],
    [0.374, "37 %"],
    [0.99, "99 %"],
    [0.9999, ">99 %"],
    [1, "100 %"],
  ])("a share of %d never looks like none or all unless it is: %s", (share, text) => {
    expect(formatPercent(share)).toBe(text);
  });

  test.each([
    [0, "0 B"],
    [512, "512 B"],
    [999, "999 B"],
    [1500, "1.5 kB"],
    [999960, "1.0 MB"],
    [123456789, "123 MB"],
    [5.2e9, "5.2 GB"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });
});

test.each([
  ["30000", 30000],
  ["30,000", 30000],
  ["1,234,567.5", 1234567.5],
  ["30 000", 30000],
  ["30\u202f000", 30000],
  ["2,5", 2.5],
  ["0,125", 0.125],
  ["-4.5", -4.5],
  ["−4.5", -4.5],
  [".5", 0.5],
  ["5.", 5],
  ["30.000", 30],
  ["", Number.NaN],
  ["1,23,456", Number.NaN],
  ["1e3", Number.NaN],
  ["0x10", Number.NaN],
  ["Infinity", Number.NaN],
  ["12 m", Number.NaN],
])("%s typed means %d", (text, number) => {
  expect(readNumber(text)).toBe(number);
});

test("points stand between thousands where large numbers are meant", () => {
  expect(readNumber("30.000", true)).toBe(30000);
  expect(readNumber("1.234.567", true)).toBe(1234567);
  expect(readNumber("30.5", true)).toBe(30.5);
  expect(readNumber("0.125", true)).toBe(0.125);
});

describe("times", () => {
  const zone = process.env.TZ;
  afterEach(() => {
    process.env.TZ = zone ?? "UTC";
  });

  test("in UTC", () => {
    expect(formatUtc(NOON)).toBe("2026-11-21 12:00 UTC");
    // To the nearest minute, so that it agrees with a rounded duration since a whole one.
    expect(formatUtc(NOON + 29.9)).toBe("2026-11-21 12:00 UTC");
    expect(formatUtc(NOON + 30)).toBe("2026-11-21 12:01 UTC");
    expect(formatUtcShort(NOON + 43199)).toBe("22 Nov 00:00");
    expect(formatUtcShort(NOON)).toBe("21 Nov 12:00");
    expect(formatUtcShort(NOON - 20 * 86400)).toBe("1 Nov 12:00");
    expect(formatUtc(Number.NaN)).toBe("–");
    expect(formatUtcShort(1e300)).toBe("–");
  });

  test("in a zone, with its name in winter and in summer", () => {
    expect(formatLocal(NOON, "America/Los_Angeles")).toBe("2026-11-21 04:00 PST");
    expect(formatLocal(NOON - 150 * 86400, "America/Los_Angeles")).toBe("2026-06-24 05:00 PDT");
    expect(formatLocal(NOON + 43200, "UTC")).toBe("2026-11-22 00:00 UTC");
    expect(formatLocal(Number.NaN)).toBe("–");
    process.env.TZ = "Asia/Kathmandu";
    expect(formatLocal(NOON)).toBe("2026-11-21 17:45 GMT+5:45");
  });

  test("of an input in UTC", () => {
    expect(toDateTimeInput(NOON, "utc")).toBe("2026-11-21T12:00");
    expect(fromDateTimeInput("2026-11-21T12:00", "utc")).toBe(NOON);
    expect(fromDateTimeInput("2026-11-21T12:00:30", "utc")).toBe(NOON + 30);
    expect(toDateTimeInput(Number.NaN, "utc")).toBe("");
  });

  test.each([
    "",
    "2026-11-21",
    "2026-02-30T00:00",
    "2026-13-01T00:00",
    "2026-11-21T25:00",
    "noon",
    "12026-11-21T12:00",
  ])("%j of an input is no time", (text) => {
    expect(fromDateTimeInput(text, "utc")).toBeNull();
    expect(fromDateTimeInput(text, "local")).toBeNull();
  });

  test("of an input in the browser's zone", () => {
    process.env.TZ = "America/Los_Angeles";
    expect(toDateTimeInput(NOON, "local")).toBe("2026-11-21T04:00");
    expect(fromDateTimeInput("2026-11-21T04:00", "local")).toBe(NOON);
  });

  test("a local time that the clock leaves out is an hour later, one that comes twice is the first", () => {
    process.env.TZ = "America/Los_Angeles";
    // 2026-03-08 02:00 PST is 10:00 UTC; the clock goes on to 03:00 PDT.
    const change = Date.UTC(2026, 2, 8, 10) / 1000;
    expect(fromDateTimeInput("2026-03-08T02:30", "local")).toBe(change + 1800);
    expect(toDateTimeInput(change + 1800, "local")).toBe("2026-03-08T03:30");
    // 2026-11-01 01:30 is 08:30 UTC (PDT), and an hour later again (PST).
    expect(fromDateTimeInput("2026-11-01T01:30", "local")).toBe(Date.UTC(2026, 10, 1, 8, 30) / 1000);
  });
});
