import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { type Format, type Takeaway, write } from "../src/export";
import type { FlightPoint } from "../src/flight";

// 2026-11-21 12:00 UTC, by `date -u -d 2026-11-21T12:00 +%s`.
const NOON = 1795262400;

const point = (minutes: number, lat: number, lon: number, alt: number, u = 10, v = -2.5): FlightPoint => ({
  time: NOON + minutes * 60,
  lat,
  lon,
  alt,
  u,
  v,
});

const NASTY = 'A <b>&amp;</b> "quoted" \u0000\u001b\ud800\uffff, it\'s';

const FLIGHT: Takeaway = {
  title: "Flight of member 0",
  cycle: "2026112106",
  product: "demo winds",
  demo: true,
  notes: ["It may land in water"],
  tracks: [
    {
      name: "Member 0",
      member: 0,
      phases: [
        { name: "ascent", points: [point(0, 37.3553, -121.8763, 30), point(100, 37.5, -121.2, 30000)] },
        { name: "coast", points: [point(100, 37.5, -121.2, 30000)] },
        { name: "descent", points: [point(100, 37.5, -121.2, 30000), point(160.5, 37.7709664, -120.77, 12.34567)] },
      ],
    },
  ],
  spots: [
    { name: "launch", lat: 37.3553, lon: -121.8763, alt: 30, time: NOON },
    { name: "target", lat: 37, lon: 239, properties: { member: 3, reason: "by hand" } },
  ],
  areas: [
    {
      name: "90 % region",
      probability: 0.9,
      areaKm2: 1234.5,
      polygons: [
        [
          [
            [-121, 37],
            [-120, 37],
            [-120, 38],
            [-121, 37],
          ],
          [
            [-120.5, 37.2],
            [-120.4, 37.3],
            [-120.4, 37.2],
            [-120.5, 37.2],
          ],
        ],
      ],
    },
  ],
};

// From 170 E to 170 W in 20 minutes along the equator: at the antimeridian after 10, at 1500 m.
const OVER_DATELINE: Takeaway = {
  ...FLIGHT,
  tracks: [
    {
      name: "over",
      member: 1,
      phases: [
        {
          name: "ascent",
          points: [point(0, 0, 170, 1000, 0, 4), point(20, 2, -170, 2000, 10, 8), point(30, 2, -160, 2500)],
        },
      ],
    },
  ],
  spots: [{ name: "at 180", lat: 0, lon: 180 }],
  areas: [
    {
      name: "cut",
      probability: 0.5,
      areaKm2: 1,
      polygons: [
        [
          [
            [179, 0],
            [180, 0],
            [180, 1],
            [179, 0],
          ],
        ],
        [
          [
            [-180, 0],
            [-179, 0],
            [-180, 1],
            [-180, 0],
          ],
        ],
      ],
    },
  ],
};

const NAMES: Takeaway = {
  ...FLIGHT,
  title: NASTY,
  product: NASTY,
  notes: [NASTY],
  tracks: FLIGHT.tracks.map((track) => ({ ...track, name: NASTY })),
  spots: [{ name: NASTY, lat: 1, lon: 2, properties: { [NASTY]: NASTY } }],
  areas: FLIGHT.areas.map((area) => ({ ...area, name: NASTY })),
};
// What XML cannot hold is replaced; all else is what it was.
const NASTY_IN_XML = 'A <b>&amp;</b> "quoted" \ufffd\ufffd\ufffd\ufffd, it\'s';

interface Node {
  tag: string;
  attributes: Record<string, string>;
  text: string;
  children: Node[];
}

const TO_JSON = `
import json, sys, xml.etree.ElementTree as ET
def node(e): return {"tag": e.tag, "attributes": e.attrib, "text": e.text or "", "children": [node(c) for c in e]}
json.dump(node(ET.fromstring(sys.stdin.buffer.read())), sys.stdout)
`;

/** An XML document as Python's parser reads it. */
function parseXml(text: string): Node {
  const { stdout, stderr, status } = spawnSync("python3", ["-c", TO_JSON], {
    input: text,
    encoding: "utf8",
    maxBuffer: 1e8,
  });
  if (status !== 0) throw new Error(`not XML: ${stderr}`);
  return JSON.parse(stdout);
}

/** The elements below one that have a name, in document order. */
function all(node: Node, name: string): Node[] {
  return node.children.flatMap((child) => [...(child.tag.endsWith(`}${name}`) ? [child] : []), ...all(child, name)]);
}

const texts = (node: Node, name: string) => all(node, name).map(({ text }) => text);
const names = ({ children }: Node) => children.map(({ tag }) => tag.replace(/.*}/, ""));

test.each([
  ["csv", "text/csv"],
  ["kml", "application/vnd.google-earth.kml+xml"],
  ["gpx", "application/gpx+xml"],
  ["geojson", "application/geo+json"],
] as const)("%s has its media type and extension", (format, type) => {
  expect(write(FLIGHT, format)).toMatchObject({ type, extension: format });
});

test.each(["kml", "gpx", "geojson"] as Format[])(
  "%s says what winds it is of, and that they are a demonstration",
  (format) => {
    const demo = format === "geojson" ? '"demo":true' : "Demonstration winds: not a forecast";
    const { text } = write(FLIGHT, format);
    expect(text).toContain(demo);
    for (const part of ["Flight of member 0", "2026112106", "demo winds", "It may land in water"])
      expect(text).toContain(part);
    expect(write({ ...FLIGHT, demo: false }, format).text).not.toContain(demo);
  },
);

describe("GeoJSON", () => {
  const read = (what: Takeaway) => JSON.parse(write(what, "geojson").text);

  test("has a line for each phase that goes on, with a time and a wind for each position", () => {
    const { type, features } = read(FLIGHT);
    expect(type).toBe("FeatureCollection");
    expect(features.map(({ geometry }: { geometry: { type: string } }) => geometry.type)).toEqual([
      "LineString",
      "LineString",
      "Point",
      "Point",
      "Polygon",
    ]);
    expect(features[1]).toEqual({
      type: "Feature",
      geometry: {
        type: "LineString",
        coordinates: [
          [-121.2, 37.5, 30000],
          [-120.77, 37.7709664, 12.35],
        ],
      },
      properties: {
        name: "Member 0",
        member: 0,
        phase: "descent",
        times: ["2026-11-21T13:40:00Z", "2026-11-21T14:40:30Z"],
        u_wind: [10, 10],
        v_wind: [-2.5, -2.5],
      },
    });
  });

  test("has the spots with their properties and the areas with their holes", () => {
    const { features, provenance } = read(FLIGHT);
    expect(features.slice(2)).toEqual([
      {
        type: "Feature",
        geometry: { type: "Point", coordinates: [-121.8763, 37.3553, 30] },
        properties: { name: "launch", time: "2026-11-21T12:00:00Z", altitude: 30 },
      },
      {
        type: "Feature",
        geometry: { type: "Point", coordinates: [-121, 37] },
        properties: { name: "target", member: 3, reason: "by hand" },
      },
      {
        type: "Feature",
        geometry: { type: "Polygon", coordinates: FLIGHT.areas[0]!.polygons[0] },
        properties: { name: "90 % region", probability: 0.9, area_km2: 1234.5 },
      },
    ]);
    expect(provenance).toEqual({
      title: "Flight of member 0",
      cycle: "2026112106",
      product: "demo winds",
      demo: true,
      notes: ["It may land in water"],
    });
  });

  test("cuts a track at the antimeridian, everything interpolated there", () => {
    const [track, spot, area] = read(OVER_DATELINE).features;
    expect(track.geometry).toEqual({
      type: "MultiLineString",
      coordinates: [
        [
          [170, 0, 1000],
          [180, 1, 1500],
        ],
        [
          [-180, 1, 1500],
          [-170, 2, 2000],
          [-160, 2, 2500],
        ],
      ],
    });
    expect(track.properties).toMatchObject({
      times: [
        ["2026-11-21T12:00:00Z", "2026-11-21T12:10:00Z"],
        ["2026-11-21T12:10:00Z", "2026-11-21T12:20:00Z", "2026-11-21T12:30:00Z"],
      ],
      u_wind: [
        [0, 5],
        [5, 10, 10],
      ],
      v_wind: [
        [4, 6],
        [6, 8, -2.5],
      ],
    });
    expect(Math.abs(spot.geometry.coordinates[0])).toBe(180);
    expect(area.geometry).toEqual({ type: "MultiPolygon", coordinates: OVER_DATELINE.areas[0]!.polygons });
  });

  test.each([
    [
      "westward",
      [-175, -178, 178],
      [
        [-175, -178, -180],
        [180, 178],
      ],
    ],
    [
      "with a point on it",
      [179, 180, -179],
      [
        [179, 180],
        [-180, -179],
      ],
    ],
    [
      "westward with a point on it",
      [-179, -180, 179],
      [
        [-179, -180],
        [180, 179],
      ],
    ],
    [
      "and back",
      [179, -179, 179],
      [
        [179, 180],
        [-180, -179, -180],
        [180, 179],
      ],
    ],
    [
      "in longitudes beyond 180",
      [178, 182, 184],
      [
        [178, 180],
        [-180, -178, -176],
      ],
    ],
    ["to it only", [178, 180], [[178, 180]]],
  ])("cuts a track %s", (_, lons, pieces) => {
    const points = lons.map((lon, i) => point(i, 0, lon, 0));
    const [{ geometry }] = read({
      ...FLIGHT,
      tracks: [{ name: "", member: 0, phases: [{ name: "coast", points }] }],
    }).features;
    const lines = geometry.type === "LineString" ? [geometry.coordinates] : geometry.coordinates;
    expect(lines.map((line: number[][]) => line.map(([lon]) => lon))).toEqual(pieces);
  });

  test("holds any name as it is", () => {
    const { features, provenance } = read(NAMES);
    expect(provenance.title).toBe(NASTY);
    expect(features[2].properties).toEqual({ name: NASTY, [NASTY]: NASTY });
  });

  test("leaves out an area of nothing", () => {
    expect(read({ ...FLIGHT, tracks: [], spots: [], areas: [{ ...FLIGHT.areas[0]!, polygons: [] }] }).features).toEqual(
      [],
    );
  });
});

describe("KML", () => {
  const read = (what: Takeaway) => parseXml(write(what, "kml").text);

  test("has its folders and no empty one", () => {
    const root = read(FLIGHT);
    expect(root.tag).toBe("{http://www.opengis.net/kml/2.2}kml");
    const document = root.children[0]!;
    const folders = document.children.filter(({ tag }) => tag.endsWith("Folder"));
    expect(folders.map(({ children }) => children[0]!.text)).toEqual(["Flights", "Places", "Areas"]);
    expect(texts(read({ ...FLIGHT, tracks: [], areas: [] }), "name")).not.toContain("Flights");
    expect(document.children.find(({ tag }) => tag.endsWith("description"))!.text).toBe(
      "demo winds, cycle 2026112106\nDemonstration winds: not a forecast\nIt may land in water",
    );
  });

  test("has a phase as a line at absolute altitude that spans its time, in the order of the schema", () => {
    const placemark = all(read(FLIGHT), "Placemark")[0]!;
    expect(names(placemark)).toEqual(["name", "TimeSpan", "styleUrl", "LineString"]);
    expect(texts(placemark, "begin")).toEqual(["2026-11-21T12:00:00Z"]);
    expect(texts(placemark, "end")).toEqual(["2026-11-21T13:40:00Z"]);
    expect(texts(placemark, "altitudeMode")).toEqual(["absolute"]);
    expect(texts(placemark, "coordinates")).toEqual(["-121.8763,37.3553,30 -121.2,37.5,30000"]);
  });

  test("has a style for each that is used", () => {
    const root = read(FLIGHT);
    const styles = all(root, "Style").map(({ attributes }) => `#${attributes.id}`);
    expect(new Set(texts(root, "styleUrl"))).toEqual(new Set(["#ascent", "#descent", "#area"]));
    expect(styles).toEqual(expect.arrayContaining(texts(root, "styleUrl")));
    for (const colour of texts(root, "color")) expect(colour).toMatch(/^[0-9a-f]{8}$/);
  });

  test("has a spot at its moment with its properties, on the ground where it has no altitude", () => {
    const [launch, target] = all(read(FLIGHT), "Placemark").slice(2);
    expect(names(launch!)).toEqual(["name", "TimeStamp", "Point"]);
    expect(texts(launch!, "when")).toEqual(["2026-11-21T12:00:00Z"]);
    expect(texts(launch!, "coordinates")).toEqual(["-121.8763,37.3553,30"]);
    expect(texts(launch!, "altitudeMode")).toEqual(["absolute"]);
    expect(names(target!)).toEqual(["name", "ExtendedData", "Point"]);
    expect(all(target!, "Data").map(({ attributes }) => attributes.name)).toEqual(["member", "reason"]);
    expect(texts(target!, "value")).toEqual(["3", "by hand"]);
    expect(texts(target!, "altitudeMode")).toEqual([]);
    expect(texts(target!, "coordinates")).toEqual(["-121,37"]);
  });

  test("has an area with its holes", () => {
    const [area] = all(read(FLIGHT), "Placemark").slice(-1);
    expect(names(area!)).toEqual(["name", "description", "styleUrl", "Polygon"]);
    expect(texts(area!, "description")).toEqual(["90 %, 1234.5 km²"]);
    expect(texts(all(area!, "outerBoundaryIs")[0]!, "coordinates")).toEqual(["-121,37 -120,37 -120,38 -121,37"]);
    expect(texts(all(area!, "innerBoundaryIs")[0]!, "coordinates")).toEqual([
      "-120.5,37.2 -120.4,37.3 -120.4,37.2 -120.5,37.2",
    ]);
  });

  test("cuts tracks at the antimeridian", () => {
    const [track, , area] = all(read(OVER_DATELINE), "Placemark");
    expect(names(track!)).toContain("MultiGeometry");
    expect(texts(track!, "coordinates")).toEqual(["170,0,1000 180,1,1500", "-180,1,1500 -170,2,2000 -160,2,2500"]);
    expect(all(area!, "Polygon")).toHaveLength(2);
  });

  test("holds any name, and none as HTML", () => {
    const root = read(NAMES);
    expect(texts(root, "name").filter((name) => name === NASTY_IN_XML)).toHaveLength(4);
    expect(all(root, "Data")[0]!.attributes.name).toBe(NASTY_IN_XML);
    expect(texts(root, "description")[0]).toContain("A &lt;b&gt;&amp;amp;&lt;/b&gt;");
  });
});

describe("GPX", () => {
  const read = (what: Takeaway) => parseXml(write(what, "gpx").text);

  test("has waypoints, then tracks with a segment for each phase, in the order of the schema", () => {
    const root = read(FLIGHT);
    expect(root.tag).toBe("{http://www.topografix.com/GPX/1/1}gpx");
    expect(root.attributes).toMatchObject({ version: "1.1", creator: "HABSIM" });
    expect(names(root)).toEqual(["metadata", "wpt", "wpt", "trk"]);
    expect(names(root.children[0]!)).toEqual(["name", "desc"]);
    expect(names(root.children[1]!)).toEqual(["ele", "time", "name"]);
    expect(names(root.children[2]!)).toEqual(["name", "desc"]);
    expect(texts(root.children[2]!, "desc")).toEqual(["member: 3\nreason: by hand"]);
    expect(all(root, "trkseg").map(({ children }) => children.length)).toEqual([2, 1, 2]);
    const last = all(root, "trkpt").at(-1)!;
    expect(last.attributes).toEqual({ lat: "37.7709664", lon: "-120.77" });
    expect([texts(last, "ele"), texts(last, "time")]).toEqual([["12.35"], ["2026-11-21T14:40:30Z"]]);
  });

  test("has longitudes from -180 up to, but not, 180, as decimals", () => {
    const edges = [180, -180, 179.99999999, 540, -180.00000001, 0.0000001, -0.0000004];
    const spots = edges.map((lon) => ({ name: "", lat: 0, lon }));
    const lons = all(read({ ...FLIGHT, spots }), "wpt").map(({ attributes }) => attributes.lon);
    expect(lons).toEqual(["-180", "-180", "-180", "-180", "-180", "0.0000001", "-0.0000004"]);
  });

  test("holds any name", () => {
    const root = read(NAMES);
    expect(texts(root, "name")).toEqual([NASTY_IN_XML, NASTY_IN_XML, NASTY_IN_XML]);
    expect(texts(root, "desc")[1]).toBe(`${NASTY_IN_XML}: ${NASTY_IN_XML}`);
  });
});

/** The cells of RFC 4180 text. */
function parseCsv(text: string): string[][] {
  expect(text.endsWith("\r\n")).toBe(true);
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    rows.at(-1)!.push(quoted === undefined ? plain! : quoted.replaceAll('""', '"'));
    if (end !== ",") rows.push([]);
  }
  return rows.slice(0, -1);
}

describe("CSV", () => {
  const read = (what: Takeaway) => parseCsv(write(what, "csv").text);

  test("has a row for each point of each track", () => {
    const rows = read(FLIGHT);
    expect(rows[0]!.join()).toBe("track,member,phase,datetime,latitude,longitude,altitude_m,u_wind_ms,v_wind_ms");
    expect(rows).toHaveLength(6);
    expect(rows[1]!.join()).toBe("Member 0,0,ascent,2026-11-21T12:00:00Z,37.3553,-121.8763,30,10,-2.5");
    expect(rows[5]!.join()).toBe("Member 0,0,descent,2026-11-21T14:40:30Z,37.7709664,-120.77,12.35,10,-2.5");
  });

  test("has the spots when there are no tracks, with a column for each property", () => {
    const more = { name: "landing", lat: 38, lon: -120, properties: { member: 4 } };
    expect(read({ ...FLIGHT, tracks: [], spots: [...FLIGHT.spots, more] })).toEqual([
      ["name", "datetime", "latitude", "longitude", "altitude_m", "member", "reason"],
      ["launch", "2026-11-21T12:00:00Z", "37.3553", "-121.8763", "30", "", ""],
      ["target", "", "37", "-121", "", "3", "by hand"],
      ["landing", "", "38", "-120", "", "4", ""],
    ]);
  });

  test.each([
    ["=1+1", "'=1+1"],
    ["+1", "'+1"],
    ["-cmd", "'-cmd"],
    ["@SUM(A1)", "'@SUM(A1)"],
    ["\t=1", "'\t=1"],
    ["a=1", "a=1"],
    ['say "no", twice\r\n', 'say "no", twice\r\n'],
    ["\u0000", "\ufffd"],
  ])("a text of %j is no formula and comes back as %j", (name, cell) => {
    const properties = { [name]: name, number: -5 };
    const rows = read({ ...FLIGHT, tracks: [], spots: [{ name, lat: -1, lon: -2, properties }] });
    expect(rows[0]!.slice(4)).toEqual([cell, "number"]);
    expect(rows[1]).toEqual([cell, "", "-1", "-2", cell, "-5"]);
  });
});
