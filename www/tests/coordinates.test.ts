import { describe, expect, test } from "vitest";
import { formatCoordinates, parseCoordinates } from "../src/coordinates";

// 37°21'19.1" is 37 + 21/60 + 19.1/3600; the same in degrees and minutes is 37°21.318'.
const SAN_JOSE = { lat: expect.closeTo(37.3553, 4), lon: expect.closeTo(-121.8763, 4) };

describe("a pasted position", () => {
  test.each([
    "37.3553, -121.8763",
    "37.3553 -121.8763",
    "37.3553,-121.8763",
    "37.3553\t-121.8763",
    "  37.3553\n-121.8763 ",
    "(37.3553, -121.8763)",
    "[37.3553, -121.8763]",
    "37.3553 / -121.8763",
    "+37.3553-121.8763",
    "37,3553; -121,8763",
    "37,3553;-121,8763",
    "37,3553 -121,8763",
    "37,3553, -121,8763",
    "37.3553; -121.8763",
    "37.3553, 238.1237",
    "37.3553N 121.8763W",
    "37.3553 N, 121.8763 W",
    "37.3553n 121.8763w",
    "N37.3553 W121.8763",
    "N 37.3553, W 121.8763",
    "121.8763W 37.3553N",
    "-121.8763, 37.3553N",
    "W121.8763 N37.3553",
    "37.3553N, -121.8763",
    "37.3553, 121.8763W",
    "37.3553° N 121.8763° W",
    "37.3553°, -121.8763°",
    `37°21'19.1"N 121°52'34.7"W`,
    `37° 21' 19.1" N, 121° 52' 34.7" W`,
    `N37°21'19.1" W121°52'34.7"`,
    `37°21'19.1", -121°52'34.7"`,
    `37°21'19.1" -121°52'34.7"`,
    "37°21′19.1″N 121°52′34.7″W",
    "37º21’19.1”N 121º52’34.7”W",
    "37°21'19.1''N 121°52'34.7''W",
    "37°21'19,1\"N; 121°52'34,7\"W",
    "37 21 19.1 N, 121 52 34.7 W",
    "37 21 19.1 N 121 52 34.7 W",
    "37 21 19.1 -121 52 34.7",
    "37°21.318'N 121°52.578'W",
    "37 21.318N 121 52.578W",
    "N37 21.318 W121 52.578",
    "37 21.318, -121 52.578",
    "37.3553, −121.8763",
    "\u200e37.3553, \u200e-121.8763\ufeff",
    "lat: 37.3553 lon: -121.8763",
    "lat: 37.3553, lon: -121.8763",
    "Latitude: 37.3553 Longitude: -121.8763",
    "latitude 37.3553 longitude -121.8763",
    "lon=-121.8763 lat=37.3553",
    "lat: 37,3553; lon: -121,8763",
    '{"lat": 37.3553, "lng": -121.8763}',
    `Lat 37°21'19.1"N Long 121°52'34.7"W`,
    "geo:37.3553,-121.8763",
    "geo:37.3553,-121.8763,24;u=10",
    "https://www.google.com/maps/@37.3553,-121.8763,15z",
    "https://www.google.com/maps?q=37.3553,-121.8763",
    "https://www.google.com/maps/place/X/@37.1,-121.1,17z/data=!4m4!8m2!3d37.3553!4d-121.8763",
    "https://maps.google.com/?q=37.3553%2C-121.8763&z=3",
    "https://maps.google.com/?q=loc:37.3553,+-121.8763",
    "https://www.google.com/maps/search/37.3553,+-121.8763",
    "https://maps.apple.com/?ll=37.3553,-121.8763",
    "https://www.openstreetmap.org/?mlat=37.3553&mlon=-121.8763",
    "https://www.openstreetmap.org/?mlat=37.3553&mlon=-121.8763#map=10/37.1/-121.1",
    "https://www.openstreetmap.org/#map=10/37.3553/-121.8763",
    "https://habsim.example/#lat=37.3553&lon=-121.8763&at=2026-11-21T12:00Z",
  ])("%j is San Jose", (text) => {
    const position = parseCoordinates(text);
    expect(position).not.toHaveProperty("error");
    if ("lon" in position && position.lon > 180) position.lon -= 360;
    expect(position).toEqual(SAN_JOSE);
  });

  test("keeps every digit, and a longitude beyond 180 as written", () => {
    expect(parseCoordinates("37.1234567, 238.1234567")).toEqual({ lat: 37.1234567, lon: 238.1234567 });
    expect(parseCoordinates("37,3553; -122")).toEqual({ lat: 37.3553, lon: -122 });
    expect(parseCoordinates("37 30 0 N 122 W")).toEqual({ lat: 37.5, lon: -122 });
    expect(parseCoordinates("-0, -0")).toEqual({ lat: 0, lon: 0 });
    expect(parseCoordinates("0, 0")).toEqual({ lat: 0, lon: 0 });
    expect(parseCoordinates("37 -121")).toEqual({ lat: 37, lon: -121 });
    expect(parseCoordinates("37,-121")).toEqual({ lat: 37, lon: -121 });
  });

  test("south and east, and the sign of 0 degrees", () => {
    expect(parseCoordinates("33°51'24\"S 151°12'36\"E")).toEqual({
      lat: expect.closeTo(-33.85667, 5),
      lon: expect.closeTo(151.21, 9),
    });
    expect(parseCoordinates("-0 30, -0 15")).toEqual({ lat: -0.5, lon: -0.25 });
    expect(parseCoordinates("0°30'S 0°15'W")).toEqual({ lat: -0.5, lon: -0.25 });
  });

  test.each([
    ["97.2, 10", "latitude is 97.2, it must be -90..90"],
    ["-121.8763, 37.3553", "latitude is -121.8763, it must be -90..90"],
    ["37, 400", "longitude is 400, it must be -180..360"],
    ["37, -180.1", "longitude is -180.1, it must be -180..360"],
    ["geo:97.2,10", "latitude is 97.2, it must be -90..90"],
    ["37°61'N 121°52'W", "minutes are 61, they must be 0 to below 60"],
    ["37 21 60 N, 121 52 34 W", "seconds are 60, they must be 0 to below 60"],
    ["37.3N 121.9S", "both numbers are latitudes"],
    ["37.3E 121.9W", "both numbers are longitudes"],
    ["lat 37 lat 38", "both numbers are latitudes"],
    ["37.3553", "there is only one number: a position is a latitude and a longitude"],
    ["37.3553,", "there is only one number: a position is a latitude and a longitude"],
    ["", "there is no number: a position is a latitude and a longitude"],
    ["37 21 -121", "there are 3 numbers: a comma is needed between latitude and longitude only"],
    ["37.3, -121.9, 24", "there are 3 numbers: a comma is needed between latitude and longitude only"],
    ["37.3,121.9,24", "there are 3 numbers: a comma is needed between latitude and longitude only"],
    ["37, 21, 121, 52", "there are 4 numbers: a comma is needed between latitude and longitude only"],
    ["-37 S, 20 E", "-37 S has both a minus and S"],
    ["37.5 21 N, 121 W", "degrees are 37.5, with minutes they must be whole"],
    ["37' N, 121 W", "37' stands where degrees are expected"],
    ["37 N S, 121", "N and S stand by one number: one of them is needed"],
    ["1 2 3 4, 5", "4 numbers stand for one coordinate: at most 3 can"],
    ["San Jose", `"San" cannot be read: a position is such as 37.3553, -121.8763`],
    ["37.3 O, 12 N", `"O" cannot be read: a position is such as 37.3553, -121.8763`],
    ["https://maps.app.goo.gl/abc?x=1", "this link holds no position: paste the latitude and the longitude"],
  ])("%j is refused in words", (text, error) => {
    expect(parseCoordinates(text)).toEqual({ error });
  });

  test("never throws", () => {
    const pieces = [
      "37",
      "-121.9",
      ",",
      ";",
      " ",
      "°",
      "'",
      '"',
      "N",
      "W",
      "lat:",
      "https://",
      "%",
      "@",
      "1e5",
      "-",
      ".",
      "½",
      "\ud800",
    ];
    let seed = 1;
    for (let i = 0; i < 5000; i++) {
      let text = "";
      for (let j = 0; j < 8; j++) {
        seed = (seed * 48271) % 2147483647;
        text += pieces[seed % pieces.length];
      }
      const result = parseCoordinates(text);
      if ("error" in result) expect(result.error).not.toBe("");
      else {
        expect(Math.abs(result.lat)).toBeLessThanOrEqual(90);
        expect(Number.isFinite(result.lon)).toBe(true);
      }
    }
  });

  test("of a megabyte is answered at once", () => {
    const start = performance.now();
    for (const piece of ["1,", "lat ", "9", "- ", "/1,"]) parseCoordinates(piece.repeat(300_000));
    expect(performance.now() - start).toBeLessThan(500);
  });
});

describe("a position as text", () => {
  const position = { lat: 37.3553, lon: -121.8763 };

  test("in each style", () => {
    expect(formatCoordinates(position, "decimal")).toBe("37.35530, -121.87630");
    expect(formatCoordinates(position, "dms")).toBe(`37°21'19.1"N 121°52'34.7"W`);
    expect(formatCoordinates(position, "dm")).toBe("37°21.318'N 121°52.578'W");
  });

  test("has a longitude within -180..180", () => {
    expect(formatCoordinates({ lat: -1, lon: 238.1237 }, "decimal")).toBe("-1.00000, -121.87630");
    expect(formatCoordinates({ lat: -1, lon: 181 }, "dm")).toBe("1°00.000'S 179°00.000'W");
  });

  test("never shows 60 minutes or seconds, nor minus nothing", () => {
    const close = { lat: 9.99999999, lon: -9.99999999 };
    expect(formatCoordinates(close, "dms")).toBe(`10°00'00.0"N 10°00'00.0"W`);
    expect(formatCoordinates(close, "dm")).toBe("10°00.000'N 10°00.000'W");
    expect(formatCoordinates({ lat: -1e-9, lon: -1e-9 }, "decimal")).toBe("0.00000, 0.00000");
    expect(formatCoordinates({ lat: -1e-9, lon: -1e-9 }, "dms")).toBe(`0°00'00.0"N 0°00'00.0"E`);
  });
});
