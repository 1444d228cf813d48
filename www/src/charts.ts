// Charts along a flight, and of the wind over a place: two at a time, whose cursors move together.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import "./charts.css";
import { announce, h } from "./dom";
import type { Flight, FlightPoint, PhaseName } from "./flight";
import { onTheme } from "./theme";
import {
  formatAltitude,
  formatBearing,
  formatDuration,
  formatSpeed,
  formatUtcShort,
  toShown,
  type Units,
  unitName,
} from "./units";

/** The wind over one place: each list holds one value per altitude. */
export interface WindProfile {
  /** m above sea level, ascending. */
  altitudes: number[];
  /** Speeds in m/s; directions in degrees, clockwise from north, that the wind comes from. */
  members: { model: number; speed: number[]; direction: number[] }[];
  mean: { speed: number[]; direction: number[] };
}

/** A point of a flight, and the phases whose lines run through it: two where one follows on the other. */
export interface FlightRow {
  point: FlightPoint;
  phases: PhaseName[];
}

const PHASES: PhaseName[] = ["ascent", "coast", "descent"];
const WINDS = ["north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"];

/** The points of all phases in order of time, each time once. */
export function flightRows(flight: Flight): FlightRow[] {
  const rows: FlightRow[] = [];
  for (const { name, points } of flight.phases) {
    // A phase's line starts where the one before it ends, whether or not the phase repeats that point.
    if (points.length) rows.at(-1)?.phases.push(name);
    for (const point of points) {
      const last = rows.at(-1);
      if (!last || point.time > last.point.time) rows.push({ point, phases: [name] });
    }
  }
  return rows;
}

/** What to draw of each phase: `value` of its points, null elsewhere. In the order ascent, coast, descent. */
export function phaseSeries(rows: FlightRow[], value: (point: FlightPoint) => number): (number | null)[][] {
  return PHASES.map((name) => rows.map(({ point, phases }) => (phases.includes(name) ? value(point) : null)));
}

/** The index of the value nearest to `wanted` in an ascending list; the lower of two as near, -1 in an empty one. */
export function nearestIndex(ascending: number[], wanted: number): number {
  let [low, high] = [0, ascending.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    // The answer is at or below `middle` exactly if `middle` is no farther than the next one.
    if (wanted - ascending[middle]! <= ascending[middle + 1]! - wanted) high = middle;
    else low = middle + 1;
  }
  return high;
}

/**
 * Where a key moves a cursor among `count` points: null takes it away, undefined is for a key that means nothing here.
 * On a `vertical` axis the arrows up and down move it, else those to the sides.
 */
export function movedIndex(
  key: string,
  index: number | null,
  count: number,
  vertical: boolean,
): number | null | undefined {
  if (key === "Escape") return index === null ? undefined : null;
  if (key === (vertical ? "ArrowUp" : "ArrowRight")) return index === null ? 0 : Math.min(index + 1, count - 1);
  if (key === (vertical ? "ArrowDown" : "ArrowLeft")) return index === null ? count - 1 : Math.max(index - 1, 0);
  return undefined;
}

/** Labels of times (Unix seconds) in UTC: "12:00", and the date below the first of each day. */
export function timeLabels(times: number[]): string[] {
  let day = "";
  return times.map((time) => {
    const text = formatUtcShort(time);
    const [date, clock] = [text.slice(0, -6), text.slice(-5)];
    if (date === day) return clock;
    day = date;
    return `${clock}\n${date}`;
  });
}

/** The direction, in degrees clockwise from north, that a wind of eastward `u` and northward `v` comes from. */
export function windFrom(u: number, v: number): number {
  return (450 - (Math.atan2(-v, -u) * 180) / Math.PI) % 360;
}

/** A direction in degrees as a word: "north-east". */
export function windName(degrees: number): string {
  return WINDS[((Math.round(degrees / 45) % 8) + 8) % 8]!;
}

/** The standard deviation of a sample, NaN for fewer than two values. */
export function standardDeviation(values: number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return values.length < 2 ? Number.NaN : Math.sqrt(squares / (values.length - 1));
}

/**
 * The circular standard deviation of directions, all in degrees: sqrt(-2 ln R) with R the length of the mean of their
 * unit vectors (Mardia and Jupp 2000, eq. 2.3.11). Infinity where they cancel out, NaN for fewer than two.
 */
export function circularDeviation(degrees: number[]): number {
  const mean = (part: (angle: number) => number) =>
    degrees.reduce((sum, angle) => sum + part((angle * Math.PI) / 180), 0) / degrees.length;
  // Rounding may take the length of equal directions above 1, whose root would be NaN.
  const length = Math.min(1, Math.hypot(mean(Math.cos), mean(Math.sin)));
  return degrees.length < 2 ? Number.NaN : (Math.sqrt(-2 * Math.log(length)) * 180) / Math.PI;
}

const speedOf = ({ u, v }: FlightPoint) => Math.hypot(u, v);

/** The index of the largest value; the first of equal ones. */
function indexOfMax(values: number[]): number {
  return values.reduce((best, value, index) => (value > values[best]! ? index : best), 0);
}

/** What the two charts of a flight (one point or more) show, in words: altitude, wind speed. */
export function flightSummaries(flight: Flight, units: Units): [altitude: string, speed: string] {
  const rows = flightRows(flight);
  const [first, last] = [rows[0]!, rows.at(-1)!];
  const altitudes = rows.map(({ point }) => point.alt);
  const speeds = rows.map(({ point }) => speedOf(point));
  const strongest = indexOfMax(speeds);
  const altitude = (metres: number) => formatAltitude(metres, units);
  const speed = (metresPerSecond: number) => formatSpeed(metresPerSecond, units);
  return [
    `Altitude from ${altitude(first.point.alt)} to ${altitude(altitudes[indexOfMax(altitudes)]!)}, ` +
      `${last.phases.includes("descent") ? "landing" : "ending"} after ${formatDuration(last.point.time - first.point.time)}`,
    `Wind speed along the flight from ${speed(speeds[indexOfMax(speeds.map((value) => -value))]!)} ` +
      `to ${speed(speeds[strongest]!)}, strongest at ${altitude(altitudes[strongest]!)}`,
  ];
}

function membersText(count: number): string {
  return `${count} member${count === 1 ? "" : "s"}`;
}

/** What the two charts of a wind profile (one altitude or more) show, in words: speed, direction. */
export function windSummaries(profile: WindProfile, units: Units): [speed: string, direction: string] {
  const { altitudes, members, mean } = profile;
  const altitude = (index: number) => formatAltitude(altitudes[index]!, units);
  const from = (index: number) => windName(mean.direction[index]!);
  const top = altitudes.length - 1;
  const strongest = indexOfMax(mean.speed);
  const of = `of ${membersText(members.length)} from ${altitude(0)} to ${altitude(top)}: `;
  return [
    `Wind ${of}strongest mean ${formatSpeed(mean.speed[strongest]!, units)} from the ${from(strongest)} ` +
      `at ${altitude(strongest)}`,
    `Wind direction ${of}mean from the ${from(0)} at ${altitude(0)}, from the ${from(top)} at ${altitude(top)}`,
  ];
}

interface ChartContent {
  name: string;
  /** The units of both axes, in words. */
  units: string;
  /** What the chart shows, for who cannot see it. */
  summary: string;
  /** The text over the chart with the cursor at a point, or without a cursor. */
  readout: (index: number | null) => string;
  /** One list for each of `series`, as long as `positions`. */
  values: (number | null)[][];
  series: uPlot.Series[];
  /** Of the axis that `positions` run along, and of that of the values. */
  axes: [positions: uPlot.Axis, values: uPlot.Axis];
  range: (min: number, max: number) => [min: number, max: number];
  /** Which of `series` is marked at the cursor; all without it. */
  marked?: number;
}

class Frame {
  readonly heading = h("h3", { class: "chart-name" });
  readonly readout = h("p", { class: "chart-readout" });
  readonly host = h("div", { class: "chart-plot", role: "img", tabindex: 0 });
  readonly element = h("div", { class: "chart" }, this.heading, this.readout, this.host);
  plot: uPlot | undefined;
  content: ChartContent | undefined;
}

/** Two charts over the same positions, with one cursor. */
class LinkedCharts {
  private readonly frames = [new Frame(), new Frame()];
  private readonly box = h("div", { class: "charts", hidden: true });
  private readonly probe = h("span", { hidden: true });
  private readonly colours = new Map<string, string>();
  private positions: number[] = [];
  private index: number | null = null;

  /**
   * @param vertical Whether positions run upwards, else to the right.
   * @param onMove Told where the reader moves the cursor; not of what `place` does.
   */
  constructor(
    root: HTMLElement,
    private readonly vertical: boolean,
    private readonly onMove: (index: number | null) => void = () => {},
  ) {
    this.box.append(this.probe, ...this.frames.map(({ element }) => element));
    if (vertical) this.box.classList.add("charts-vertical");
    root.append(this.box);
    const resized = new ResizeObserver(() => this.resize());
    for (const { host } of this.frames) {
      resized.observe(host);
      host.addEventListener("keydown", (event) => this.key(event));
    }
    onTheme(() => {
      this.colours.clear();
      for (const { plot } of this.frames) plot?.batch(() => plot.redraw(false));
      this.place(this.index);
    });
  }

  show(positions: number[], contents: [ChartContent, ChartContent]): void {
    this.remove();
    this.positions = positions;
    // Before drawing, which needs the size. Never hidden in between, which would take the keyboard's focus away.
    this.box.hidden = false;
    contents.forEach((content, i) => {
      const frame = this.frames[i]!;
      frame.content = content;
      frame.heading.replaceChildren(content.name, h("span", { class: "chart-unit" }, content.units));
      frame.host.setAttribute("aria-label", content.summary);
      frame.plot = this.draw(frame.host, content);
    });
    this.place(null);
  }

  clear(): void {
    this.box.hidden = true;
    this.remove();
  }

  private remove(): void {
    this.index = null;
    for (const frame of this.frames) {
      frame.plot?.destroy();
      frame.plot = frame.content = undefined;
    }
  }

  /** Moves the cursors of both charts, or of all but the one that the reader's pointer moves. */
  place(index: number | null, but?: uPlot): void {
    this.index = index;
    for (const { plot, content, readout } of this.frames) {
      if (!plot || !content) continue;
      readout.textContent = content.readout(index);
      if (plot === but) continue;
      // Away first, because uPlot leaves a point that keeps its index where it was before a resize.
      plot.setCursor({ left: -10, top: -10 }, false);
      if (index === null) continue;
      const along = Math.max(0, plot.valToPos(this.positions[index]!, "x"));
      plot.setCursor(this.vertical ? { left: 0, top: along } : { left: along, top: 0 }, false);
    }
  }

  private move(index: number | null, by?: uPlot): void {
    if (index === this.index) return;
    this.place(index, by);
    this.onMove(index);
  }

  private key(event: KeyboardEvent): void {
    // With Alt, Control or Meta an arrow is the browser's, for instance to go back a page.
    if (event.altKey || event.ctrlKey || event.metaKey || !this.positions.length) return;
    const index = movedIndex(event.key, this.index, this.positions.length, this.vertical);
    if (index === undefined) return;
    event.preventDefault();
    this.move(index);
    const frame = this.frames.find(({ host }) => host === event.currentTarget);
    if (frame && index !== null) announce(frame.readout.textContent);
  }

  private resize(): void {
    for (const { plot, host } of this.frames) {
      plot?.batch(() => plot.setSize({ width: host.clientWidth, height: host.clientHeight }));
    }
    this.place(this.index);
  }

  /** The colour of a CSS variable, as a canvas takes it: without var() or light-dark() in it. */
  private colour(name: string): string {
    let colour = this.colours.get(name);
    if (colour === undefined) {
      this.probe.style.color = `var(${name})`;
      colour = getComputedStyle(this.probe).color;
      this.colours.set(name, colour);
    }
    return colour;
  }

  private draw(host: HTMLElement, content: ChartContent): uPlot {
    const { vertical } = this;
    const inColour = (name: string) => () => this.colour(name);
    const axisStyle: uPlot.Axis = {
      stroke: inColour("--quiet"),
      font: `12px ${getComputedStyle(document.body).fontFamily}`,
      grid: { stroke: inColour("--line"), width: 1 },
      ticks: { show: false },
      gap: 6,
    };
    // Strokes are given by the names of variables, to be looked up with each theme.
    const series = content.series.map((line) => {
      const stroke = inColour(line.stroke as string);
      // Whole pixels would turn a slope into stairs.
      return { ...line, stroke, points: { ...line.points, fill: stroke }, pxAlign: 0 };
    });
    const plot = new uPlot(
      {
        width: host.clientWidth,
        height: host.clientHeight,
        padding: [8, 12, null, null],
        legend: { show: false },
        scales: {
          x: {
            time: false,
            ori: vertical ? 1 : 0,
            range: (_plot, min, max) => (min < max ? [vertical ? Math.min(0, min) : min, max] : [min - 1, max + 1]),
          },
          y: { ori: vertical ? 0 : 1, range: (_plot, min, max) => content.range(min, max) },
        },
        axes: [
          { ...axisStyle, side: vertical ? 3 : 2, ...content.axes[0] },
          { ...axisStyle, scale: "y", side: vertical ? 2 : 3, ...content.axes[1] },
        ],
        series: [{}, ...series],
        cursor: {
          y: false,
          // A drag scrolls the page on a touch screen; what it zoomed into would be hard to leave there.
          drag: { x: false, y: false, setScale: false },
          points: { size: 9 },
          move: (moved, left, top) => {
            const pointer = vertical ? top : left;
            if (pointer < 0) return [left, top];
            const along = Math.max(0, moved.valToPos(this.positions[moved.posToIdx(pointer)]!, "x"));
            return vertical ? [left, along] : [along, top];
          },
          dataIdx: (_plot, i, nearest) => (content.marked === undefined || content.marked === i - 1 ? nearest : null),
        },
        hooks: { setCursor: [(moved) => this.move(moved.cursor.idx ?? null, moved)] },
      },
      [this.positions, ...content.values],
      host,
    );
    // uPlot would lay itself out only after this turn, and until then no cursor could be placed.
    plot.batch(() => {});
    return plot;
  }
}

const NUMBER = new Intl.NumberFormat("en");
const numberLabels = (_plot: uPlot, splits: number[]) => splits.map((value) => NUMBER.format(value));

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
// Whole parts or multiples of a day, so that multiples of Unix time are round in UTC in any zone of the browser.
const TIME_STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 5, 10, 20, 50, 100].map((days) => days * DAY),
];

/** Room above the largest value; from 0, or from the smallest where that is lower. */
const fromZero = (min: number, max: number): [number, number] => [Math.min(0, min), Math.max(max, 0) * 1.06 || 1];

/** Altitude and wind speed along a flight. */
export class FlightCharts {
  private readonly charts: LinkedCharts;
  private times: number[] = [];

  /** @param onCursor Told the time (Unix seconds) of the point that the reader moves to, null when it leaves. */
  constructor(root: HTMLElement, onCursor: (time: number | null) => void) {
    this.charts = new LinkedCharts(root, false, (index) => onCursor(index === null ? null : this.times[index]!));
  }

  /** Draws a flight, without a cursor. One without points clears the charts. */
  show(flight: Flight, units: Units): void {
    const rows = flightRows(flight);
    if (!rows.length) {
      this.clear();
      return;
    }
    this.times = rows.map(({ point }) => point.time);
    const [altitudeSummary, speedSummary] = flightSummaries(flight, units);
    const series: uPlot.Series[] = PHASES.map((name) => ({ stroke: `--${name}`, width: 2, points: { show: false } }));
    const axes: ChartContent["axes"] = [
      { incrs: TIME_STEPS, values: (_plot, splits) => timeLabels(splits), size: 42, space: 56 },
      // As wide on both, so that their times are below each other when the charts are.
      { values: numberLabels, size: 58, space: 26 },
    ];
    const highest = rows[indexOfMax(rows.map(({ point }) => point.alt))]!.point;
    const strongest = rows[indexOfMax(rows.map(({ point }) => speedOf(point)))]!.point;
    const altitude = ({ alt }: FlightPoint) => formatAltitude(alt, units);
    const speed = (point: FlightPoint) => formatSpeed(speedOf(point), units);
    const shared = { series, axes, range: fromZero };
    this.charts.show(this.times, [
      {
        ...shared,
        name: "Altitude",
        units: `${unitName("altitude", units)}, by time in UTC`,
        summary: altitudeSummary,
        values: phaseSeries(rows, ({ alt }) => toShown(alt, "altitude", units)),
        readout: (index) => {
          if (index === null) return `Highest ${altitude(highest)}`;
          const { point, phases } = rows[index]!;
          return `${altitude(point)}, ${phases[0]}, ${formatUtcShort(point.time)} UTC`;
        },
      },
      {
        ...shared,
        name: "Wind speed",
        units: `${unitName("windSpeed", units)}, by time in UTC`,
        summary: speedSummary,
        values: phaseSeries(rows, (point) => toShown(speedOf(point), "windSpeed", units)),
        readout: (index) => {
          if (index === null) return `Strongest ${speed(strongest)} at ${altitude(strongest)}`;
          const { point } = rows[index]!;
          return `${speed(point)} from ${formatBearing(windFrom(point.u, point.v))} at ${altitude(point)}`;
        },
      },
    ]);
  }

  /** Moves the cursors to the point nearest to a time (Unix seconds), or takes them away; tells nobody. */
  setCursor(time: number | null): void {
    this.charts.place(time === null || !this.times.length ? null : nearestIndex(this.times, time));
  }

  clear(): void {
    this.times = [];
    this.charts.clear();
  }
}

/** Speed and direction of the wind over a place, with the altitude upwards. */
export class WindCharts {
  private readonly charts: LinkedCharts;

  constructor(root: HTMLElement) {
    this.charts = new LinkedCharts(root, true);
  }

  /** Draws the members' winds and their mean. A profile without altitudes clears the charts. */
  show(profile: WindProfile, units: Units): void {
    const { altitudes, members, mean } = profile;
    if (!altitudes.length) {
      this.clear();
      return;
    }
    const [speedSummary, directionSummary] = windSummaries(profile, units);
    const shown = (speeds: number[]) => speeds.map((speed) => toShown(speed, "windSpeed", units));
    const altitudeAxis: uPlot.Axis = { values: numberLabels, size: 58, space: 26 };
    const memberLine: uPlot.Series = { stroke: "--quiet", alpha: 0.4, width: 1, points: { show: false } };
    const meanLine: uPlot.Series = { stroke: "--ink", width: 2.5, points: { show: false } };
    // No lines: between 359 and 1 degrees one would cross the whole chart.
    const points = (size: number) => ({ paths: () => null, points: { show: true, size, width: 1 } });
    const strongest = indexOfMax(mean.speed);
    const speedText = (speed: number) => formatSpeed(speed, units);
    const at = (index: number) => formatAltitude(altitudes[index]!, units);
    const spread = (deviation: number, format: (deviation: number) => string) =>
      Number.isNaN(deviation) ? "" : ` ± ${format(deviation)}`;
    const byAltitude = `by altitude in ${unitName("altitude", units)}`;
    const shared = { marked: members.length };
    this.charts.show(
      altitudes.map((altitude) => toShown(altitude, "altitude", units)),
      [
        {
          ...shared,
          name: "Wind speed",
          units: `${unitName("windSpeed", units)}, ${byAltitude}`,
          summary: speedSummary,
          values: [...members.map(({ speed }) => shown(speed)), shown(mean.speed)],
          series: [...members.map(() => memberLine), meanLine],
          axes: [altitudeAxis, { values: numberLabels, size: 30 }],
          range: fromZero,
          readout: (index) => {
            if (index === null) return `Strongest mean ${speedText(mean.speed[strongest]!)} at ${at(strongest)}`;
            const deviation = standardDeviation(members.map(({ speed }) => speed[index]!));
            return `${speedText(mean.speed[index]!)}${spread(deviation, speedText)} at ${at(index)}`;
          },
        },
        {
          ...shared,
          name: "Wind direction",
          units: byAltitude,
          summary: directionSummary,
          values: [...members.map(({ direction }) => direction), mean.direction],
          series: [...members.map(() => ({ ...memberLine, ...points(3) })), { ...meanLine, ...points(6) }],
          axes: [altitudeAxis, { splits: [0, 90, 180, 270, 360], values: ["N", "E", "S", "W", "N"], size: 30 }],
          range: () => [0, 360],
          readout: (index) => {
            if (index === null) return `Bold: the mean of ${membersText(members.length)}`;
            const deviation = circularDeviation(members.map(({ direction }) => direction[index]!));
            // More than half a turn says no more than that the wind is from anywhere.
            const degreesText = (degrees: number) => `${Math.round(Math.min(degrees, 180))}°`;
            return `${formatBearing(mean.direction[index]!)}${spread(deviation, degreesText)} at ${at(index)}`;
          },
        },
      ],
    );
  }

  clear(): void {
    this.charts.clear();
  }
}
