// Where landings are dense: a Gaussian kernel density as a coloured layer between the base map and the paths.

import * as L from "leaflet";
import type { Theme } from "./theme";

export interface WeightedPoint {
  lat: number;
  /** Degrees, continuous: may be beyond 180, and is drawn there. */
  lon: number;
  weight: number;
}

/** A point on a plane; pixels on the map. */
export interface PlanePoint {
  x: number;
  y: number;
  weight: number;
}

export interface Grid {
  /** The corner of the least x and y. */
  left: number;
  top: number;
  columns: number;
  rows: number;
  cellX: number;
  cellY: number;
}

const METRES_PER_DEGREE = 111_195;
const FLOOR_METRES = 25;
const FLOOR_PIXELS = 3;
/** Pixels; smaller ones are not seen once the picture is smoothed. */
const CELL = 4;
/** Bandwidths from its point at which a kernel ends: what is cut off is 6 in 100,000 on each axis. */
const REACH = 4;
/** Of the map's size, drawn on each side beyond what is in sight, so that there is something when it is dragged. */
const PADDING = 0.25;
const MOST_CELLS = 200_000;

/**
 * The bandwidth of the kernel along east and north, in metres, by Scott's rule in two dimensions (Scott 1992, equation 6.42; Silverman's
 * rule is the same there): the weighted standard deviation times n^(-1/6), n the effective number of points (Kish 1965).
 */
export function bandwidth(points: WeightedPoint[]): { x: number; y: number } {
  let [sum, squares, lat, lon] = [0, 0, 0, 0];
  for (const { weight, ...point } of points) {
    sum += weight;
    squares += weight * weight;
    lat += weight * point.lat;
    lon += weight * point.lon;
  }
  if (!(sum > 0)) return { x: FLOOR_METRES, y: FLOOR_METRES };
  lat /= sum;
  lon /= sum;
  let [varianceX, varianceY] = [0, 0];
  for (const { weight, ...point } of points) {
    varianceX += (weight / sum) * (point.lon - lon) ** 2;
    varianceY += (weight / sum) * (point.lat - lat) ** 2;
  }
  const factor = METRES_PER_DEGREE * ((sum * sum) / squares) ** (-1 / 6);
  return {
    x: Math.max(FLOOR_METRES, Math.sqrt(varianceX) * Math.cos((lat * Math.PI) / 180) * factor),
    y: Math.max(FLOOR_METRES, Math.sqrt(varianceY) * factor),
  };
}

/** The weight that falls into each cell, row by row, when each point is spread as a Gaussian of the given bandwidths. */
export function density(points: PlanePoint[], grid: Grid, sigmaX: number, sigmaY: number): Float32Array {
  const { left, top, columns, rows, cellX, cellY } = grid;
  const cells = new Float32Array(columns * rows);
  const acrossX = kernel(sigmaX / cellX);
  const acrossY = kernel(sigmaY / cellY);
  for (const { x, y, weight } of points) {
    const [fromX, kernelX] = acrossX((x - left) / cellX, columns);
    const [fromY, kernelY] = acrossY((y - top) / cellY, rows);
    for (let j = 0; j < kernelY.length; j++) {
      const row = (fromY + j) * columns + fromX;
      const share = weight * kernelY[j]!;
      for (let i = 0; i < kernelX.length; i++) cells[row + i]! += share * kernelX[i]!;
    }
  }
  return cells;
}

/**
 * For a bandwidth in cells: the share of a point at `at` that falls on each cell in reach, and the first of those cells. A narrower one
 * than 0.6 would lose or gain weight between the middles of the cells.
 */
function kernel(bandwidth: number) {
  const sigma = Math.max(0.6, bandwidth);
  const reach = REACH * sigma;
  const height = 1 / (sigma * Math.sqrt(2 * Math.PI));
  const shares = new Float64Array(Math.ceil(2 * reach) + 1);
  return (at: number, count: number): [number, Float64Array] => {
    const from = Math.max(0, Math.ceil(at - reach - 0.5));
    const to = Math.min(count - 1, Math.floor(at + reach - 0.5));
    for (let cell = from; cell <= to; cell++) {
      const away = (cell + 0.5 - at) / sigma;
      shares[cell - from] = height * Math.exp(-0.5 * away * away);
    }
    return [from, shares.subarray(0, Math.max(0, to - from + 1))];
  };
}

interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** The box around points with a margin; without points it is inside out. */
function extent(points: PlanePoint[], marginX: number, marginY: number): Box {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (const { x, y } of points) {
    box.left = Math.min(box.left, x - marginX);
    box.top = Math.min(box.top, y - marginY);
    box.right = Math.max(box.right, x + marginX);
    box.bottom = Math.max(box.bottom, y + marginY);
  }
  return box;
}

/**
 * Cells over a box: three to a bandwidth, which the eye cannot tell from more, but none smaller than is seen. They lie on whole cells
 * of the plane, so that the picture does not shimmer from one drawing to the next.
 */
export function gridOver({ left, top, right, bottom }: Box, sigmaX: number, sigmaY: number): Grid {
  const least = Math.max(CELL, Math.sqrt(((right - left) * (bottom - top)) / MOST_CELLS));
  const cellX = Math.max(least, sigmaX / 3);
  const cellY = Math.max(least, sigmaY / 3);
  const firstX = Math.floor(left / cellX);
  const firstY = Math.floor(top / cellY);
  const columns = Math.max(1, Math.ceil(right / cellX) - firstX);
  const rows = Math.max(1, Math.ceil(bottom / cellY) - firstY);
  return { left: firstX * cellX, top: firstY * cellY, columns, rows, cellX, cellY };
}

/**
 * Colours of rising density: ColorBrewer's YlOrBr on the light map, matplotlib's inferno without its black on the dark one. Both are told
 * apart by brightness alone, and so by colour-blind eyes.
 */
const STOPS: Record<Theme, string[]> = {
  light: ["fff7bc", "fee391", "fec44f", "fe9929", "ec7014", "cc4c02", "993404", "5a1f08"],
  dark: ["3b0f70", "641a80", "8c2981", "b73779", "de4968", "f7705c", "fe9f6d", "fcfdbf"],
};

/** Density from which the colour has its full opacity, and that opacity: names and borders below stay readable. */
const FULL_FROM = 0.3;
const OPACITY = 0.72;

/** 256 colours from no density to the greatest: red, green, blue, opacity. */
export function ramp(theme: Theme): Uint8ClampedArray {
  const stops = STOPS[theme].map((hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));
  const colours = new Uint8ClampedArray(4 * 256);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (stops.length - 1);
    const stop = Math.min(Math.floor(at), stops.length - 2);
    const [low, high] = [stops[stop]!, stops[stop + 1]!];
    const colour = low.map((value, channel) => value + (at - stop) * (high[channel]! - value));
    const rise = Math.min(1, i / 255 / FULL_FROM);
    colours.set([...colour, 255 * OPACITY * rise * (2 - rise)], 4 * i);
  }
  return colours;
}

export class HeatLayer extends L.Layer {
  private points: WeightedPoint[] = [];
  private metres = bandwidth([]);
  private theme: Theme = "light";
  private readonly canvas = document.createElement("canvas");
  /** Where the drawn picture begins, in pixels of the whole world at its zoom. */
  private drawn = { corner: L.point(0, 0), zoom: 0 };
  /** The greatest density at a zoom, weight per square pixel: over all points, so that colours do not change while panning. */
  private readonly peaks = new Map<number, number>();

  override onAdd(map: L.Map): this {
    const pane = map.getPane("heat") ?? map.createPane("heat");
    pane.style.zIndex = "350";
    pane.style.pointerEvents = "none";
    this.canvas.className = "leaflet-zoom-animated";
    pane.append(this.canvas);
    this.draw();
    return this;
  }

  override onRemove(): this {
    this.canvas.remove();
    return this;
  }

  override getEvents(): { [name: string]: L.LeafletEventHandlerFn } {
    return {
      viewreset: () => this.draw(),
      // Ends of zooms and changes of size are also ends of moves.
      moveend: () => this.draw(),
      zoom: () => this.place(this._map.getCenter(), this._map.getZoom()),
      zoomanim: (event) => this.place((event as L.ZoomAnimEvent).center, (event as L.ZoomAnimEvent).zoom),
    };
  }

  setPoints(points: WeightedPoint[]): void {
    this.points = points;
    this.metres = bandwidth(points);
    this.peaks.clear();
    this.draw();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    this.draw();
  }

  private draw(): void {
    const map = this._map;
    if (!map) return;
    const zoom = map.getZoom();
    const points = this.points.map(({ lat, lon, weight }) => ({ ...map.project([lat, lon], zoom), weight }));
    const [sigmaX, sigmaY] = this.sigmas(zoom);
    const ends = extent(points, REACH * sigmaX, REACH * sigmaY);
    const sight = map.getPixelBounds();
    const padding = map.getSize().multiplyBy(PADDING);
    const left = Math.max(ends.left, sight.min!.x - padding.x);
    const top = Math.max(ends.top, sight.min!.y - padding.y);
    const right = Math.min(ends.right, sight.max!.x + padding.x);
    const bottom = Math.min(ends.bottom, sight.max!.y + padding.y);
    this.canvas.hidden = !(right > left && bottom > top);
    if (this.canvas.hidden) return;

    const grid = gridOver({ left, top, right, bottom }, sigmaX, sigmaY);
    const cells = density(points, grid, sigmaX, sigmaY);
    const full = this.peak(zoom, points, sigmaX, sigmaY) * grid.cellX * grid.cellY;
    const image = new ImageData(grid.columns, grid.rows);
    const pixels = new Uint32Array(image.data.buffer);
    const colours = new Uint32Array(ramp(this.theme).buffer);
    for (let i = 0; i < cells.length; i++) pixels[i] = colours[Math.min(255, Math.round((255 * cells[i]!) / full))]!;
    this.canvas.width = grid.columns;
    this.canvas.height = grid.rows;
    this.canvas.getContext("2d")!.putImageData(image, 0, 0);
    // The browser stretches the coarse picture, and smooths it.
    this.canvas.style.width = `${grid.columns * grid.cellX}px`;
    this.canvas.style.height = `${grid.rows * grid.cellY}px`;
    this.drawn = { corner: L.point(grid.left, grid.top), zoom };
    this.place(map.getCenter(), zoom);
  }

  /** Puts the picture where it belongs on a map with this centre and zoom; while a zoom runs, stretched. */
  private place(center: L.LatLng, zoom: number): void {
    // What Leaflet's own layers use; it has no public name.
    const map = this._map as L.Map & { _getNewPixelOrigin(center: L.LatLng, zoom: number): L.Point };
    const scale = map.getZoomScale(zoom, this.drawn.zoom);
    const offset = this.drawn.corner.multiplyBy(scale).subtract(map._getNewPixelOrigin(center, zoom));
    L.DomUtil.setTransform(this.canvas, offset, scale);
  }

  /** The bandwidths in pixels at a zoom, by the map's scale at the mean latitude. */
  private sigmas(zoom: number): [number, number] {
    const lat = this.points.reduce((sum, point) => sum + point.lat / this.points.length, 0);
    const pixels = (256 * 2 ** zoom) / (360 * METRES_PER_DEGREE * Math.cos((lat * Math.PI) / 180));
    return [Math.max(FLOOR_PIXELS, this.metres.x * pixels), Math.max(FLOOR_PIXELS, this.metres.y * pixels)];
  }

  private peak(zoom: number, points: PlanePoint[], sigmaX: number, sigmaY: number): number {
    let peak = this.peaks.get(zoom);
    if (peak === undefined) {
      const grid = gridOver(extent(points, 0, 0), sigmaX, sigmaY);
      peak =
        density(points, grid, sigmaX, sigmaY).reduce((most, cell) => Math.max(most, cell), 0) /
        (grid.cellX * grid.cellY);
      this.peaks.set(zoom, peak);
    }
    return peak;
  }
}
