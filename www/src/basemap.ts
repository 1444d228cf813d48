// The base maps: the built-in one, drawn from Natural Earth shapes that our own server holds, and online tiles over it.

import * as L from "leaflet";
import { feature, mesh } from "topojson-client";
import type { GeometryCollection, GeometryObject, MultiPolygon, Polygon, Topology } from "topojson-specification";
import fineUrl from "world-atlas/countries-10m.json?url";
import coarseUrl from "world-atlas/countries-50m.json?url";
import { DegreeLabels, multiples, spacing } from "./graticule";
import type { Theme } from "./theme";

export type BaseName = "builtin" | "streets" | "satellite" | "terrain";

export const BASES: Record<BaseName, { label: string }> = {
  builtin: { label: "Built-in map" },
  streets: { label: "Streets" },
  satellite: { label: "Satellite" },
  terrain: { label: "Terrain" },
};

const MAX_ZOOM = 19;
const OSM = '&copy; <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors';

const ONLINE: Record<Exclude<BaseName, "builtin">, { title: string; url: string; options: L.TileLayerOptions }> = {
  streets: {
    title: "street map",
    url: "https://tile.openstreetmap.org/{z}/{x}/{y}.png",
    options: { maxNativeZoom: 19, attribution: OSM },
  },
  satellite: {
    title: "satellite map",
    url: "https://server.arcgisonline.com/ArcGIS/rest/services/World_Imagery/MapServer/tile/{z}/{y}/{x}",
    options: { maxNativeZoom: 18, attribution: "Imagery &copy; Esri, Maxar, Earthstar Geographics" },
  },
  terrain: {
    title: "terrain map",
    url: "https://{s}.tile.opentopomap.org/{z}/{x}/{y}.png",
    options: {
      maxNativeZoom: 17,
      attribution: `${OSM}, SRTM | &copy; <a href="https://opentopomap.org">OpenTopoMap</a> (CC-BY-SA)`,
    },
  },
};

/** Land and sea stay near grey, so that the colours of the flight paths are the strongest on the map. */
const PALETTES = {
  light: {
    sea: "#d5e3ea",
    land: "#f5f2ea",
    coast: "#86a1b0",
    border: "#9a8f81",
    grid: "rgb(70 110 135 / 24%)",
    name: "#6b655b",
    halo: "rgb(245 242 234 / 80%)",
  },
  dark: {
    sea: "#121c25",
    land: "#27323a",
    coast: "#5a7686",
    border: "#727e85",
    grid: "rgb(150 190 215 / 17%)",
    name: "#a6b1b6",
    halo: "rgb(39 50 58 / 80%)",
  },
} satisfies Record<Theme, Record<string, string>>;

const TILE = 256;
/** From this zoom on the 50m shapes look coarse. */
const FINE_ZOOM = 6;
/** Time for drawing tiles in one frame, ms: panning stays smooth while many tiles are wanted. */
const FRAME_BUDGET = 8;
// ms of reading a file at once: more than a frame, as each pause costs some, and less than anybody feels.
const READ_BUDGET = 25;
const RETRY_AFTER = 20_000;
const FONT = "system-ui, sans-serif";

// Shapes

/** Degrees: longitude, latitude. */
export type Degrees = [number, number];

/** Points of one line in Mercator units: x and y in turn, 0 to 1 from west to east and from north to south. */
export interface Line {
  xy: Float32Array;
  /** Of the whole line, then of each run of points: least x, least y, greatest x, greatest y. */
  boxes: Float32Array;
}

/** What a tile sees, in Mercator units, with a margin for the width of lines. */
export interface View {
  west: number;
  north: number;
  east: number;
  south: number;
}

export interface Place {
  text: string;
  x: number;
  y: number;
  /** Room for the text, Mercator units. */
  width: number;
}

interface World {
  land: Line[];
  coast: Line[];
  borders: Line[];
}

/** Mercator units of a position; the poles, which are infinitely far away, are drawn in to 89 degrees, beyond the map's edge. */
export function mercator([lon, lat]: Degrees): [number, number] {
  const phi = (Math.max(-89, Math.min(89, lat)) * Math.PI) / 180;
  return [lon / 360 + 0.5, 0.5 - Math.log(Math.tan(Math.PI / 4 + phi / 2)) / (2 * Math.PI)];
}

/** The line with continuous longitudes: beyond 180 where it crosses the antimeridian. */
export function unwrap(line: Degrees[]): Degrees[] {
  let turn = 0;
  return line.map(([lon, lat], i) => {
    const step = i > 0 ? lon - line[i - 1]![0] : 0;
    if (step > 180) turn -= 360;
    else if (step < -180) turn += 360;
    return [lon + turn, lat];
  });
}

/** The unwrapped ring; one that goes round a pole (Antarctica) starts at the antimeridian and is closed along the pole. */
export function unwrapRing(ring: Degrees[]): Degrees[] {
  const line = unwrap(ring);
  if (Math.abs(line.at(-1)![0] - line[0]![0]) < 180) return line;
  const jump = ring.findIndex(([lon], i) => i > 0 && Math.abs(lon - ring[i - 1]![0]) > 180);
  const round = unwrap([...ring.slice(jump), ...ring.slice(1, jump + 1)]);
  // Not far beyond the map's edge at 85.05 degrees, so that the middle of the ring is on the map.
  const pole = Math.sign(round[0]![1]) * 86;
  round.push([round.at(-1)![0], pole], [round[0]![0], pole]);
  return round;
}

/** Whether the way between two unwrapped points is the cut of a polygon at the antimeridian, and no coast. */
export function isSeam(a: Degrees, b: Degrees): boolean {
  return Math.abs(a[0] - b[0]) < 1e-6 && Math.abs((((a[0] % 360) + 360) % 360) - 180) < 1e-6;
}

/** The parts of an unwrapped ring between its seams. */
export function withoutSeams(ring: Degrees[]): Degrees[][] {
  const parts: Degrees[][] = [];
  let start = 0;
  for (let i = 1; i <= ring.length; i++) {
    if (i < ring.length && !isSeam(ring[i - 1]!, ring[i]!)) continue;
    if (i - start > 1) parts.push(start === 0 && i === ring.length ? ring : ring.slice(start, i));
    start = i;
  }
  return parts;
}

/** Steps of a line that share one bounding box: few enough to skip most of a continent, many enough to skip it quickly. */
const RUN = 48;

export function toLine(degrees: Degrees[]): Line {
  const xy = new Float32Array(degrees.length * 2);
  degrees.forEach((point, i) => {
    [xy[2 * i], xy[2 * i + 1]] = mercator(point);
  });
  const runs = Math.ceil((degrees.length - 1) / RUN);
  const boxes = new Float32Array(4 * (runs + 1));
  for (let box = 0; box <= runs; box++) {
    const from = box === 0 ? 0 : (box - 1) * RUN;
    const to = box === 0 ? degrees.length - 1 : Math.min(box * RUN, degrees.length - 1);
    let [west, north, east, south] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = from; i <= to; i++) {
      const x = xy[2 * i]!;
      const y = xy[2 * i + 1]!;
      if (x < west) west = x;
      if (x > east) east = x;
      if (y < north) north = y;
      if (y > south) south = y;
    }
    boxes.set([west, north, east, south], 4 * box);
  }
  return { xy, boxes };
}

/** On which sides of the view the box lies wholly, as bits; 0 where they meet. */
function sides(boxes: Float32Array, box: number, view: View, shift: number): number {
  const at = 4 * box;
  return (
    (boxes[at]! + shift > view.east ? 1 : 0) |
    (boxes[at + 1]! > view.south ? 2 : 0) |
    (boxes[at + 2]! + shift < view.west ? 4 : 0) |
    (boxes[at + 3]! < view.north ? 8 : 0)
  );
}

/**
 * Adds the line, moved by `shift` worlds, to a path in pixels from the corner `x0`, `y0`, with `scale` pixels a unit. Points closer
 * than half a pixel are left out; of what lies outside the view only as much stays as keeps the filled area inside it right.
 */
export function trace(
  path: Pick<CanvasPath, "moveTo" | "lineTo">,
  { xy, boxes }: Line,
  view: View,
  [x0, y0]: [number, number],
  scale: number,
  shift: number,
): void {
  if (sides(boxes, 0, view, shift)) return;
  const last = xy.length / 2 - 1;
  let started = false;
  let lastX = 0;
  let lastY = 0;
  const add = (i: number, always: boolean) => {
    const x = (xy[2 * i]! + shift - x0) * scale;
    const y = (xy[2 * i + 1]! - y0) * scale;
    if (!always && (x - lastX) ** 2 + (y - lastY) ** 2 < 0.25) return;
    if (started) path.lineTo(x, y);
    else path.moveTo(x, y);
    started = true;
    lastX = x;
    lastY = y;
  };
  // Runs that follow each other on the same side of the view cannot pass through it: their first and last points are enough.
  let hidden = 0;
  for (let run = 1; run < boxes.length / 4; run++) {
    const from = (run - 1) * RUN;
    const side = sides(boxes, run, view, shift);
    if (side) {
      if (hidden & side) hidden &= side;
      else {
        add(from, true);
        hidden = side;
      }
      continue;
    }
    if (hidden || !started) add(from, true);
    hidden = 0;
    const to = Math.min(run * RUN, last);
    for (let i = from + 1; i < to; i++) add(i, false);
    add(to, true);
  }
  if (hidden) add(last, true);
}

/** Where a name fits best in an unwrapped ring: the middle of its widest row, rather near the ring's middle. */
export function labelPlace(ring: Degrees[]): Omit<Place, "text"> {
  const points = ring.map(mercator);
  const ys = points.map((point) => point[1]);
  const north = Math.min(...ys);
  const height = Math.max(...ys) - north;
  const ROWS = 24;
  const rows = Array.from({ length: ROWS - 1 }, (_, i) => {
    const y = north + (height * (i + 1)) / ROWS;
    const crossings: number[] = [];
    for (let k = 1; k < points.length; k++) {
      const [ax, ay] = points[k - 1]!;
      const [bx, by] = points[k]!;
      if (ay > y !== by > y) crossings.push(ax + ((y - ay) / (by - ay)) * (bx - ax));
    }
    crossings.sort((a, b) => a - b);
    let [west, east] = [0, 0];
    for (let k = 1; k < crossings.length; k += 2) {
      if (crossings[k]! - crossings[k - 1]! > east - west) [west, east] = [crossings[k - 1]!, crossings[k]!];
    }
    return { x: (west + east) / 2, y, width: east - west };
  });
  const score = (i: number) => {
    const { width } = rows[i]!;
    // What its neighbours do not have is an arm of the country, thinner than the text.
    const common = Math.min(width, rows[i - 1]?.width ?? 0, rows[i + 1]?.width ?? 0);
    const offCentre = (i + 1) / ROWS - 0.5;
    return (1.5 * common - 0.5 * width) * (1 - 2 * offCentre * offCentre);
  };
  const best = rows.reduce((best, _, i) => (score(i) > score(best) ? i : best), 0);
  return rows[best]!;
}

/** The latitude of a Mercator unit. */
export function latitude(y: number): number {
  return (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI;
}

// Names

interface Label {
  text: string;
  size: number;
  /** Of the middle, pixels of the whole world. */
  x: number;
  y: number;
  halfWidth: number;
}

/** Those names that have room at a zoom: inside their country, and from zoom 6 on (islands) wherever no other name is. */
export function placeNames(places: Place[], zoom: number, textWidth: (text: string) => number): Label[] {
  const scale = TILE * 2 ** zoom;
  const placed: Label[] = [];
  for (const { text, x, y, width } of places) {
    const room = width * scale;
    const em = textWidth(text);
    const size = Math.max(10.5, Math.min(15, (0.6 * room) / em));
    const label = { text, size, x: x * scale, y: y * scale, halfWidth: (em * size) / 2 };
    if (zoom < FINE_ZOOM && 2 * label.halfWidth > 1.05 * room) continue;
    const free = placed.every(
      (other) =>
        Math.abs(other.x - label.x) > other.halfWidth + label.halfWidth + 6 ||
        Math.abs(other.y - label.y) > (other.size + label.size) * 0.7,
    );
    if (free) placed.push(label);
  }
  return placed;
}

// Loading

interface Countries extends GeometryCollection {
  geometries: (GeometryObject & { properties: { name: string } })[];
}

type Atlas = Topology<{ countries: Countries; land: GeometryCollection }>;

/** Gives way to the page every few milliseconds of a long work: to be awaited between its steps. */
function pauses(): () => Promise<void> | undefined {
  let until = performance.now() + READ_BUDGET;
  return () => {
    if (performance.now() < until) return undefined;
    return new Promise((resume) => {
      setTimeout(() => {
        until = performance.now() + READ_BUDGET;
        resume();
      });
    });
  };
}

async function readWorld(atlas: Atlas): Promise<World> {
  const world: World = { land: [], coast: [], borders: [] };
  const pause = pauses();
  for (const arcs of (atlas.objects.land.geometries as MultiPolygon[]).flatMap((land) => land.arcs)) {
    for (const ring of feature(atlas, { type: "Polygon", arcs }).geometry.coordinates as Degrees[][]) {
      const line = unwrapRing(ring);
      const whole = toLine(line);
      world.land.push(whole);
      for (const part of withoutSeams(line)) world.coast.push(part === line ? whole : toLine(part));
    }
    await pause();
  }
  const borders = mesh(atlas, atlas.objects.countries, (a, b) => a !== b);
  for (const line of borders.coordinates as Degrees[][]) {
    world.borders.push(toLine(unwrap(line)));
    await pause();
  }
  return world;
}

/** The names of the countries, largest room first. */
async function readPlaces(atlas: Atlas): Promise<Place[]> {
  const places: Place[] = [];
  const pause = pauses();
  for (const country of atlas.objects.countries.geometries) {
    const geometry = feature(atlas, country as Polygon).geometry as GeoJSON.Polygon | GeoJSON.MultiPolygon;
    const rings = (geometry.type === "Polygon" ? geometry.coordinates : geometry.coordinates.flat()) as Degrees[][];
    const unwrapped = rings.map(unwrapRing);
    const areas = unwrapped.map((ring) => {
      const [west, north, east, south] = toLine(ring).boxes;
      return (east! - west!) * (south! - north!);
    });
    const largest = unwrapped[areas.indexOf(Math.max(...areas))]!;
    places.push({ text: country.properties.name, ...labelPlace(largest) });
    await pause();
  }
  return places.sort((a, b) => b.width - a.width);
}

type Detail = "coarse" | "fine";

const FILES: Record<Detail, { url: string; problem: string }> = {
  coarse: { url: coarseUrl, problem: "the built-in map cannot be loaded; only its degree lines are shown" },
  fine: { url: fineUrl, problem: "the fine coastlines cannot be loaded; coarse ones are shown" },
};

// Layers

export class BuiltinMap extends L.GridLayer {
  private readonly worlds: Partial<Record<Detail, World>> = {};
  private places: Place[] = [];
  private readonly labels = new Map<number, Label[]>();
  /** When each file may be asked for (again); never while it is on its way or there. */
  private readonly askAfter: Record<Detail, number> = { coarse: 0, fine: 0 };
  private readonly told = new Set<Detail>();
  private readonly tiles = new Map<HTMLCanvasElement, L.Coords>();
  private queue: { tile: HTMLCanvasElement; done?: () => void }[] = [];
  private frame = 0;
  private wasDrawn = false;
  private theme: Theme = "light";

  constructor(private readonly onProblem: (text: string) => void) {
    super({ maxZoom: MAX_ZOOM, zIndex: 1, attribution: "Natural Earth" });
    this.on("tileunload", ({ tile }) => this.tiles.delete(tile as HTMLElement as HTMLCanvasElement));
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.repaint(0);
  }

  protected override createTile(coords: L.Coords, done: L.DoneCallback): HTMLElement {
    const tile = document.createElement("canvas");
    tile.width = tile.height = Math.round(TILE * devicePixelRatio);
    this.tiles.set(tile, coords);
    // The fine file is long to read: the map is there before it is asked for.
    if (!this.worlds.coarse) this.need("coarse");
    else if (coords.z >= FINE_ZOOM) this.need("fine");
    this.enqueue({ tile, done: () => done(undefined, tile) });
    return tile;
  }

  /** Draws the tiles of a zoom and above again in place, so that nothing flickers. */
  private repaint(fromZoom: number): void {
    for (const [tile, { z }] of this.tiles) if (z >= fromZoom) this.enqueue({ tile });
  }

  private enqueue(job: (typeof this.queue)[number]): void {
    this.queue.push(job);
    this.frame ||= requestAnimationFrame(this.work);
  }

  private readonly work = () => {
    const until = performance.now() + FRAME_BUDGET;
    while (this.queue.length > 0 && performance.now() < until) {
      const { tile, done } = this.queue.shift()!;
      const coords = this.tiles.get(tile);
      if (!coords) continue;
      this.paint(tile, coords);
      done?.();
    }
    this.frame = this.queue.length > 0 ? requestAnimationFrame(this.work) : 0;
    // For those who measure how soon there is a map: the first time that all of it is drawn.
    if (!this.frame && this.worlds.coarse && !this.wasDrawn) {
      this.wasDrawn = true;
      performance.mark("habsim:map");
    }
  };

  private async need(detail: Detail): Promise<void> {
    if (performance.now() < this.askAfter[detail]) return;
    this.askAfter[detail] = Infinity;
    try {
      const answer = await fetch(FILES[detail].url);
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      const atlas: Atlas = await answer.json();
      this.worlds[detail] = await readWorld(atlas);
      this.repaint(detail === "fine" ? FINE_ZOOM : 0);
      if (detail === "fine") return;
      if ([...this.tiles.values()].some(({ z }) => z >= FINE_ZOOM)) this.need("fine");
      this.places = await readPlaces(atlas);
      this.labels.clear();
      this.repaint(0);
    } catch {
      this.askAfter[detail] = performance.now() + RETRY_AFTER;
      if (!this.told.has(detail)) this.onProblem(FILES[detail].problem);
      this.told.add(detail);
    }
  }

  private paint(tile: HTMLCanvasElement, { x, y, z }: L.Coords): void {
    const ctx = tile.getContext("2d", { alpha: false })!;
    const palette = PALETTES[this.theme];
    const scale = TILE * 2 ** z;
    const corner: [number, number] = [(x * TILE) / scale, (y * TILE) / scale];
    const margin = 4 / scale;
    const size = TILE / scale;
    const view = {
      west: corner[0] - margin,
      north: corner[1] - margin,
      east: corner[0] + size + margin,
      south: corner[1] + size + margin,
    };
    ctx.setTransform(tile.width / TILE, 0, 0, tile.height / TILE, 0, 0);
    ctx.fillStyle = palette.sea;
    ctx.fillRect(0, 0, TILE, TILE);

    const world = (z >= FINE_ZOOM && this.worlds.fine) || this.worlds.coarse;
    const traceAll = (lines: Line[]) => {
      ctx.beginPath();
      for (const line of lines) for (const shift of [-1, 0, 1]) trace(ctx, line, view, corner, scale, shift);
    };
    if (world) {
      traceAll(world.land);
      ctx.fillStyle = palette.land;
      ctx.fill("evenodd");
    }
    const names = this.namesNear(ctx, z, x * TILE, y * TILE);
    this.paintGraticule(ctx, palette, z, corner);
    if (!world) return;
    ctx.lineJoin = "round";
    traceAll(world.borders);
    ctx.strokeStyle = palette.border;
    ctx.lineWidth = z < 4 ? 0.7 : 1;
    ctx.setLineDash([4, 2.5]);
    ctx.stroke();
    ctx.setLineDash([]);
    traceAll(world.coast);
    ctx.strokeStyle = palette.coast;
    ctx.lineWidth = 1;
    ctx.stroke();
    this.paintNames(ctx, palette, names);
  }

  private paintGraticule(
    ctx: CanvasRenderingContext2D,
    palette: (typeof PALETTES)[Theme],
    zoom: number,
    [x0, y0]: [number, number],
  ): void {
    const scale = TILE * 2 ** zoom;
    const px = (lon: number) => (mercator([lon, 0])[0] - x0) * scale;
    const py = (lat: number) => (mercator([0, lat])[1] - y0) * scale;
    // On whole pixels, and always on the east and south side, so that a line between two tiles is drawn by one of them.
    const sharp = (value: number) => Math.floor(value + 0.01) + 0.5;
    const step = spacing(zoom);
    const size = TILE / scale;
    const longitudes = [(x0 - 0.5) * 360, (x0 + size - 0.5) * 360] as const;
    const meridians = multiples(...longitudes, step);
    const [south, north] = [latitude(y0 + size), latitude(y0)];
    const steps = [...new Set([spacing(zoom), spacing(zoom, 61), spacing(zoom, 76)])];
    const parallels = steps.flatMap((step) =>
      multiples(south, north, step).flatMap((lat) => (spacing(zoom, lat) === step ? [lat] : [])),
    );

    ctx.beginPath();
    for (const lon of meridians) {
      ctx.moveTo(sharp(px(lon)), 0);
      ctx.lineTo(sharp(px(lon)), TILE);
    }
    for (const lat of parallels) {
      ctx.moveTo(0, sharp(py(lat)));
      ctx.lineTo(TILE, sharp(py(lat)));
    }
    ctx.strokeStyle = palette.grid;
    ctx.lineWidth = 1;
    ctx.stroke();
  }

  /** The names that meet a tile, in its pixels. */
  private namesNear(ctx: CanvasRenderingContext2D, zoom: number, left: number, top: number): Label[] {
    let labels = this.labels.get(zoom);
    if (!labels) {
      ctx.font = `500 10px ${FONT}`;
      labels = placeNames(this.places, zoom, (text) => ctx.measureText(text).width / 10);
      this.labels.set(zoom, labels);
    }
    const far = TILE / 2;
    return labels
      .flatMap((label) =>
        [-1, 0, 1].map((shift) => ({ ...label, x: label.x + shift * TILE * 2 ** zoom - left, y: label.y - top })),
      )
      .filter(
        ({ x, y, size, halfWidth }) => Math.abs(x - TILE / 2) < far + halfWidth && Math.abs(y - TILE / 2) < far + size,
      );
  }

  private paintNames(ctx: CanvasRenderingContext2D, palette: (typeof PALETTES)[Theme], names: Label[]): void {
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillStyle = palette.name;
    ctx.strokeStyle = palette.halo;
    ctx.lineWidth = 3;
    for (const { text, size, x, y } of names) {
      ctx.font = `500 ${size}px ${FONT}`;
      ctx.strokeText(text, x, y);
      ctx.fillText(text, x, y);
    }
  }
}

/** The base maps of a map, one shown at a time; below online tiles the built-in map stays, for those that do not come. */
export class BaseMaps {
  private readonly builtin: BuiltinMap;
  private readonly degrees: DegreeLabels;
  private online: L.TileLayer | undefined;
  private name: BaseName = "builtin";

  constructor(
    private readonly map: L.Map,
    private readonly onProblem: (text: string) => void,
  ) {
    this.builtin = new BuiltinMap(onProblem).addTo(map);
    this.degrees = new DegreeLabels(map);
    this.setTheme("light");
  }

  show(name: BaseName): void {
    if (name === this.name) return;
    this.name = name;
    this.degrees.isShown = name === "builtin";
    this.online?.remove();
    this.online = name === "builtin" ? undefined : this.onlineLayer(name).addTo(this.map);
  }

  setTheme(theme: Theme): void {
    this.builtin.setTheme(theme);
    // Seen while tiles are on their way, and beyond 85 degrees.
    this.map.getContainer().style.backgroundColor = PALETTES[theme].sea;
  }

  private onlineLayer(name: Exclude<BaseName, "builtin">): L.TileLayer {
    const { title, url, options } = ONLINE[name];
    // OpenStreetMap refuses requests without a referrer, and the page's own policy sends none.
    const referrerPolicy = "strict-origin-when-cross-origin";
    const layer = L.tileLayer(url, { maxZoom: MAX_ZOOM, zIndex: 2, referrerPolicy, ...options });
    let came = false;
    layer.once("tileload", () => {
      came = true;
    });
    layer.once("tileerror", () => {
      const what = came ? `parts of the ${title}` : `the ${title}`;
      this.onProblem(`${what} cannot be reached; the built-in map is shown${came ? " there" : ""}`);
    });
    return layer;
  }
}
