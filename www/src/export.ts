// What is taken away to other programs: CSV, KML, GPX and GeoJSON.
import type { Flight, FlightPoint } from "./flight";
import { unroll } from "./geo";

export interface Track extends Flight {
  name: string;
}

export interface Spot {
  name: string;
  lat: number;
  lon: number;
  /** Unix seconds. */
  time?: number;
  /** m above sea level. */
  alt?: number;
  properties?: Record<string, string | number>;
}

export interface Area {
  name: string;
  probability: number;
  areaKm2: number;
  /** GeoJSON MultiPolygon coordinates, cut at +-180 degrees. */
  polygons: number[][][][];
}

export interface Takeaway {
  title: string;
  cycle: string;
  product: string;
  demo: boolean;
  notes: string[];
  tracks: Track[];
  spots: Spot[];
  areas: Area[];
}

export type Format = "csv" | "kml" | "gpx" | "geojson";

export interface Written {
  text: string;
  /** Media type. */
  type: string;
  /** Of the file's name, without a dot. */
  extension: Format;
}

const TYPES: Record<Format, string> = {
  csv: "text/csv",
  kml: "application/vnd.google-earth.kml+xml",
  gpx: "application/gpx+xml",
  geojson: "application/geo+json",
};

/** The text of a file in one of the formats. GPX has no areas; CSV has the tracks, or the spots when there are none. */
export function write(what: Takeaway, format: Format): Written {
  const text = { csv, kml, gpx, geojson }[format](what);
  return { text, type: TYPES[format], extension: format };
}

// 7 decimals of a degree are a centimetre.
const rounded = (value: number, places: number) => Math.round(value * 10 ** places) / 10 ** places;
const degrees = (value: number) => rounded(value, 7);
const metres = (value: number) => rounded(value, 2);
const speed = (value: number) => rounded(value, 3);

/** A longitude from -180 up to, but not, 180: GPX 1.1 excludes 180 itself. */
function longitude(lon: number): number {
  const value = degrees(lon);
  return degrees(value - 360 * Math.floor((value + 180) / 360));
}

/** The digits of a rounded number: neither a KML nor a GPX coordinate may read 1e-7. */
function digits(value: number): string {
  return Math.abs(value) < 1e-6 ? value.toFixed(value && 7) : String(value);
}

/** A moment (Unix seconds) as RFC 3339 in UTC, with milliseconds only when there are any. */
function rfc3339(time: number): string {
  return new Date(Math.round(time * 1000)).toISOString().replace(".000Z", "Z");
}

function provenanceLines({ product, cycle, demo, notes }: Takeaway): string[] {
  return [`${product}, cycle ${cycle}`, ...(demo ? ["Demonstration winds: not a forecast"] : []), ...notes];
}

/**
 * The pieces of a track between its crossings of the antimeridian, as RFC 7946 section 3.1.9 asks: one ends and the next
 * begins at the same interpolated point, with longitude 180 on one side and -180 on the other.
 */
function cutAtAntimeridian(points: FlightPoint[]): FlightPoint[][] {
  const lons = unroll(
    points.map(({ lon }) => lon),
    0,
  );
  const track = points.map((point, i) => ({ ...point, lon: lons[i]! }));
  const pieces: FlightPoint[][] = [];
  let turnBefore: number | undefined;
  const addEdge = (from: FlightPoint, to: FlightPoint) => {
    const turn = turnOf(from, to);
    const moved = (point: FlightPoint) => ({ ...point, lon: point.lon - 360 * turn });
    if (turn !== turnBefore) pieces.push([moved(from)]);
    pieces.at(-1)!.push(moved(to));
    turnBefore = turn;
  };
  for (const [i, to] of track.entries()) {
    const from = track[i - 1];
    if (!from) continue;
    const meridian = 360 * turnOf(from, to) + 180;
    if (meridian < Math.max(from.lon, to.lon)) {
      const cut = between(from, to, (meridian - from.lon) / (to.lon - from.lon));
      cut.lon = meridian;
      addEdge(from, cut);
      addEdge(cut, to);
    } else addEdge(from, to);
  }
  return pieces;
}

/** How many whole turns the western end of an edge is away from -180..180. */
function turnOf(from: FlightPoint, to: FlightPoint): number {
  return Math.floor((Math.min(from.lon, to.lon) + 180) / 360);
}

function between(from: FlightPoint, to: FlightPoint, share: number): FlightPoint {
  const mix = (key: keyof FlightPoint) => from[key] + share * (to[key] - from[key]);
  return { time: mix("time"), lat: mix("lat"), lon: mix("lon"), alt: mix("alt"), u: mix("u"), v: mix("v") };
}

function geojson(what: Takeaway): string {
  const { title, cycle, product, demo, notes, tracks, spots, areas } = what;
  const features = [
    ...tracks.flatMap(trackFeatures),
    ...spots.map(spotFeature),
    ...areas.filter(isSome).map(areaFeature),
  ];
  // The provenance is a foreign member: RFC 7946 forbids `properties` on a collection.
  return JSON.stringify({ type: "FeatureCollection", provenance: { title, cycle, product, demo, notes }, features });
}

function feature(type: string, coordinates: unknown, properties: object): object {
  return { type: "Feature", geometry: { type, coordinates }, properties };
}

function trackFeatures({ name, member, phases }: Track): object[] {
  return phases
    .filter(({ points }) => points.length > 1)
    .map((phase) => {
      const pieces = cutAtAntimeridian(phase.points);
      const whole = pieces.length === 1;
      // Nested like the coordinates.
      const each = (value: (point: FlightPoint) => unknown) => {
        const values = pieces.map((piece) => piece.map(value));
        return whole ? values[0] : values;
      };
      return feature(
        whole ? "LineString" : "MultiLineString",
        each(({ lon, lat, alt }) => [degrees(lon), degrees(lat), metres(alt)]),
        {
          name,
          member,
          phase: phase.name,
          times: each(({ time }) => rfc3339(time)),
          u_wind: each(({ u }) => speed(u)),
          v_wind: each(({ v }) => speed(v)),
        },
      );
    });
}

function spotFeature({ name, lat, lon, alt, time, properties }: Spot): object {
  const position = [longitude(lon), degrees(lat)];
  if (alt !== undefined) position.push(metres(alt));
  return feature("Point", position, {
    ...properties,
    name,
    ...(time !== undefined && { time: rfc3339(time) }),
    ...(alt !== undefined && { altitude: metres(alt) }),
  });
}

function isSome({ polygons }: Area): boolean {
  return polygons.length > 0;
}

function areaFeature({ name, probability, areaKm2, polygons }: Area): object {
  const one = polygons.length === 1;
  const properties = { name, probability, area_km2: areaKm2 };
  return feature(one ? "Polygon" : "MultiPolygon", one ? polygons[0] : polygons, properties);
}

const XML = '<?xml version="1.0" encoding="UTF-8"?>\n';
const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => ENTITIES[sign]!);
}

/** A text without the characters that XML cannot hold. */
function readable(text: string): string {
  return text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
}

/** An element that holds text. */
function leaf(tag: string, text: string | number): string {
  return `<${tag}>${escaped(readable(String(text)))}</${tag}>`;
}

/** An element that holds elements; attributes as they stand. */
function element(tag: string, ...children: string[]): string {
  return `<${tag}>${children.join("")}</${tag.split(" ")[0]}>`;
}

// The colours of the page, in the order of KML: alpha first and red last.
const STYLES = {
  ascent: "ffb27200",
  coast: "ff0077b8",
  descent: "ff0c41c2",
  area: "ff77017a",
};

function kml(what: Takeaway): string {
  const styles = Object.entries(STYLES).map(([id, colour]) =>
    element(
      `Style id="${id}"`,
      element("LineStyle", leaf("color", colour), leaf("width", 2)),
      element("PolyStyle", leaf("color", `33${colour.slice(2)}`)),
    ),
  );
  return (
    XML +
    element(
      'kml xmlns="http://www.opengis.net/kml/2.2"',
      element(
        "Document",
        leaf("name", what.title),
        leaf("open", 1),
        description(provenanceLines(what)),
        ...styles,
        ...folder("Flights", what.tracks.map(kmlTrack)),
        ...folder("Places", what.spots.map(kmlSpot)),
        ...folder("Areas", what.areas.filter(isSome).map(kmlArea)),
      ),
    )
  );
}

function folder(name: string, children: string[]): string[] {
  return children.length ? [element("Folder", leaf("name", name), ...children)] : [];
}

/** A description is HTML once the XML is read, so it is escaped for both. */
function description(lines: string[]): string {
  return leaf("description", escaped(lines.join("\n")));
}

function kmlTrack({ name, phases }: Track): string {
  const flown = phases.filter(({ points }) => points.length > 1);
  return element(
    "Folder",
    leaf("name", name),
    ...flown.map((phase) =>
      element(
        "Placemark",
        leaf("name", phase.name),
        element(
          "TimeSpan",
          leaf("begin", rfc3339(phase.points[0]!.time)),
          leaf("end", rfc3339(phase.points.at(-1)!.time)),
        ),
        leaf("styleUrl", `#${phase.name}`),
        multiGeometry(
          cutAtAntimeridian(phase.points).map((piece) =>
            element(
              "LineString",
              leaf("altitudeMode", "absolute"),
              leaf("coordinates", piece.map(({ lon, lat, alt }) => place(lon, lat, alt)).join(" ")),
            ),
          ),
        ),
      ),
    ),
  );
}

function multiGeometry(parts: string[]): string {
  return parts.length === 1 ? parts[0]! : element("MultiGeometry", ...parts);
}

function place(...[lon, lat, alt]: number[]): string {
  const flat = `${digits(degrees(lon!))},${digits(degrees(lat!))}`;
  return alt === undefined ? flat : `${flat},${metres(alt)}`;
}

function kmlSpot({ name, lat, lon, alt, time, properties = {} }: Spot): string {
  const data = Object.entries(properties).map(([key, value]) =>
    element(`Data name="${escaped(readable(key))}"`, leaf("value", value)),
  );
  const high = alt !== undefined;
  return element(
    "Placemark",
    leaf("name", name),
    ...(time === undefined ? [] : [element("TimeStamp", leaf("when", rfc3339(time)))]),
    ...(data.length ? [element("ExtendedData", ...data)] : []),
    element(
      "Point",
      ...(high ? [leaf("altitudeMode", "absolute")] : []),
      leaf("coordinates", high ? place(longitude(lon), lat, alt) : place(longitude(lon), lat)),
    ),
  );
}

function kmlArea({ name, probability, areaKm2, polygons }: Area): string {
  const boundary = (tag: string, ring: number[][]) =>
    element(tag, element("LinearRing", leaf("coordinates", ring.map(([lon, lat]) => place(lon!, lat!)).join(" "))));
  return element(
    "Placemark",
    leaf("name", name),
    description([`${rounded(probability * 100, 1)} %, ${rounded(areaKm2, 1)} km²`]),
    leaf("styleUrl", "#area"),
    multiGeometry(
      polygons.map(([outer, ...holes]) =>
        element(
          "Polygon",
          leaf("tessellate", 1),
          boundary("outerBoundaryIs", outer ?? []),
          ...holes.map((hole) => boundary("innerBoundaryIs", hole)),
        ),
      ),
    ),
  );
}

function gpx(what: Takeaway): string {
  return (
    XML +
    element(
      'gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="HABSIM"',
      element("metadata", leaf("name", what.title), leaf("desc", provenanceLines(what).join("\n"))),
      ...what.spots.map((spot) => {
        const properties = Object.entries(spot.properties ?? {}).map(([key, value]) => `${key}: ${value}`);
        const desc = properties.length ? [leaf("desc", properties.join("\n"))] : [];
        return gpxPoint("wpt", spot, leaf("name", spot.name), ...desc);
      }),
      ...what.tracks.map(({ name, phases }) =>
        element(
          "trk",
          leaf("name", name),
          ...phases
            .filter(({ points }) => points.length)
            .map(({ points }) => element("trkseg", ...points.map((point) => gpxPoint("trkpt", point)))),
        ),
      ),
    )
  );
}

function gpxPoint(tag: string, { lat, lon, alt, time }: Spot | FlightPoint, ...more: string[]): string {
  return element(
    `${tag} lat="${digits(degrees(lat))}" lon="${digits(longitude(lon))}"`,
    ...(alt === undefined ? [] : [leaf("ele", metres(alt))]),
    ...(time === undefined ? [] : [leaf("time", rfc3339(time))]),
    ...more,
  );
}

type Cell = string | number | undefined;

function csv({ tracks, spots }: Takeaway): string {
  const rows = tracks.length ? trackRows(tracks) : spotRows(spots);
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function trackRows(tracks: Track[]): Cell[][] {
  const rows: Cell[][] = ["track,member,phase,datetime,latitude,longitude,altitude_m,u_wind_ms,v_wind_ms".split(",")];
  for (const { name, member, phases } of tracks) {
    for (const phase of phases) {
      for (const { time, lat, lon, alt, u, v } of phase.points) {
        const position = [degrees(lat), longitude(lon), metres(alt)];
        rows.push([name, member, phase.name, rfc3339(time), ...position, speed(u), speed(v)]);
      }
    }
  }
  return rows;
}

function spotRows(spots: Spot[]): Cell[][] {
  const columns = [...new Set(spots.flatMap(({ properties }) => Object.keys(properties ?? {})))];
  const isHigh = spots.some(({ alt }) => alt !== undefined);
  const rows: Cell[][] = [["name", "datetime", "latitude", "longitude", ...(isHigh ? ["altitude_m"] : []), ...columns]];
  for (const { name, time, lat, lon, alt, properties } of spots) {
    const when = time === undefined ? undefined : rfc3339(time);
    const high = isHigh ? [alt === undefined ? undefined : metres(alt)] : [];
    rows.push([name, when, degrees(lat), longitude(lon), ...high, ...columns.map((column) => properties?.[column])]);
  }
  return rows;
}

/** A cell as RFC 4180 has it. A text that a spreadsheet would take for a formula gets an apostrophe before it. */
function cell(value: Cell): string {
  if (typeof value === "number") return digits(value);
  const text = readable(value ?? "").replace(/^\s*[=+\-@]/, "'$&");
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
