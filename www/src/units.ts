// Numbers and times as a reader sees them. The plan stays in SI; only what is shown changes.
import type { Quantity } from "./plan";

export type Units = "metric" | "imperial";
export type Zone = "utc" | "local";

interface Unit {
  name: string;
  /** How much of SI one of it is: metres, metres per second; 1 for what has one unit only. */
  size: number;
  /** Decimals that an input needs at most. */
  decimals: number;
}

const FOOT = 0.3048;
const MILE = 1609.344;

const HOURS: Unit = { name: "h", size: 1, decimals: 2 };
const NEWTONS: Unit = { name: "N", size: 1, decimals: 2 };
const MINUTES: Unit = { name: "min", size: 1, decimals: 0 };
// 7 decimals of a degree are a centimetre, which is what the API resolves.
const PLAIN: Unit = { name: "", size: 1, decimals: 7 };

const UNITS: Record<Units, Record<Quantity, Unit>> = {
  metric: {
    altitude: { name: "m", size: 1, decimals: 0 },
    distance: { name: "km", size: 1000, decimals: 1 },
    verticalSpeed: { name: "m/s", size: 1, decimals: 2 },
    windSpeed: { name: "m/s", size: 1, decimals: 1 },
    hours: HOURS,
    mass: { name: "kg", size: 1, decimals: 3 },
    volume: { name: "m³", size: 1, decimals: 3 },
    force: NEWTONS,
    minutes: MINUTES,
    plain: PLAIN,
  },
  imperial: {
    altitude: { name: "ft", size: FOOT, decimals: 0 },
    distance: { name: "mi", size: MILE, decimals: 1 },
    verticalSpeed: { name: "ft/min", size: FOOT / 60, decimals: 0 },
    windSpeed: { name: "mph", size: MILE / 3600, decimals: 0 },
    mass: { name: "lb", size: 0.45359237, decimals: 2 },
    volume: { name: "ft³", size: FOOT ** 3, decimals: 1 },
    force: NEWTONS,
    hours: HOURS,
    minutes: MINUTES,
    plain: PLAIN,
  },
};

/** A plan's value (m, m/s, h, min, as is) in the unit it is shown in. */
export function toShown(value: number, quantity: Quantity, units: Units): number {
  return value / UNITS[units][quantity].size;
}

/** A value in the unit it is shown in as the plan holds it (m, m/s, h, min, as is). */
export function fromShown(value: number, quantity: Quantity, units: Units): number {
  return value * UNITS[units][quantity].size;
}

/** The unit that follows a number, "" for a plain one. */
export function unitName(quantity: Quantity, units: Units): string {
  return UNITS[units][quantity].name;
}

/** Decimals that an input needs at most. */
export function decimals(quantity: Quantity, units: Units): number {
  return UNITS[units][quantity].decimals;
}

/** A plan's value (SI) as the text of an input: no grouping, no zeros at the end. */
export function inputText(value: number, quantity: Quantity, units: Units): string {
  return String(Number(toShown(value, quantity, units).toFixed(decimals(quantity, units))));
}

/**
 * What somebody typed as a number, NaN for none: with a point or a comma before the decimals, with commas or spaces (and
 * points, where `isLarge` numbers are meant) between thousands.
 */
export function readNumber(text: string, isLarge = false): number {
  const plain = text.replace(/\s/g, "").replace("−", "-");
  if (!plain) return Number.NaN;
  if (/^-?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$/.test(plain)) return Number(plain.replaceAll(",", ""));
  if (isLarge && /^-?[1-9]\d{0,2}(\.\d{3})+$/.test(plain)) return Number(plain.replaceAll(".", ""));
  return /^-?(\d+[.,]?\d*|[.,]\d+)$/.test(plain) ? Number(plain.replace(",", ".")) : Number.NaN;
}

/** The next whole minute, as a reader rounds it: a launch at 14:30 and 2 h 17 min make 16:47. */
function toMinute(unixSeconds: number): number {
  return Math.round(unixSeconds / 60) * 60;
}

const MISSING = "–";

function grouped(value: number, places = 0): string {
  if (!Number.isFinite(value)) return MISSING;
  const scale = 10 ** places;
  // + 0 turns -0 into 0.
  const rounded = Math.round(value * scale) / scale + 0;
  return rounded.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
}

/** An altitude in m as text: "30,000 m", "98,425 ft". */
export function formatAltitude(metres: number, units: Units): string {
  return `${grouped(toShown(metres, "altitude", units))} ${unitName("altitude", units)}`;
}

/** A distance in m as text: "850 m", "12.3 km", "123 km"; "850 ft", "12.3 mi", "123 mi". */
export function formatDistance(metres: number, units: Units): string {
  const far = toShown(metres, "distance", units);
  const near = Math.round(toShown(metres, "altitude", units));
  // What would be rounded up to a whole large unit is given in it.
  if (near < Math.round(fromShown(1, "distance", units) / fromShown(1, "altitude", units))) {
    return `${grouped(near)} ${unitName("altitude", units)}`;
  }
  return `${grouped(far, far < 99.95 ? 1 : 0)} ${unitName("distance", units)}`;
}

/** A speed in m/s as text: "12.5 m/s", "28 mph", and "984 ft/min" for a vertical one. */
export function formatSpeed(
  metresPerSecond: number,
  units: Units,
  quantity: "verticalSpeed" | "windSpeed" = "windSpeed",
): string {
  const places = units === "metric" ? 1 : 0;
  return `${grouped(toShown(metresPerSecond, quantity, units), places)} ${unitName(quantity, units)}`;
}

/** A mass in kg or a volume in m³ as text, to about three digits: "2.36 kg", "12.4 ft³". */
export function formatAmount(value: number, quantity: "mass" | "volume", units: Units): string {
  const shown = toShown(value, quantity, units);
  return `${grouped(shown, Math.abs(shown) < 9.995 ? 2 : Math.abs(shown) < 99.95 ? 1 : 0)} ${unitName(quantity, units)}`;
}

/** A time span in seconds as text: "45 s", "12 min", "2 h 05 min". */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return MISSING;
  if (seconds < 0) return `-${formatDuration(-seconds)}`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${pad(minutes % 60, 2)} min`;
}

const POINTS = ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"];

/** A bearing in degrees as text: "073° ENE". */
export function formatBearing(degrees: number): string {
  if (!Number.isFinite(degrees)) return MISSING;
  const turn = ((degrees % 360) + 360) % 360;
  return `${pad(Math.round(turn) % 360, 3)}° ${POINTS[Math.round(turn / 22.5) % 16]}`;
}

/** A share of 1 as text: "37 %"; "0 %" and "100 %" only when it is exactly that. */
export function formatPercent(share: number): string {
  if (share > 0 && share < 0.01) return "<1 %";
  if (share > 0.99 && share < 1) return ">99 %";
  return `${grouped(share * 100)} %`;
}

/** A size in bytes as text, in powers of 1000: "512 B", "1.5 MB". */
export function formatBytes(bytes: number): string {
  if (!(bytes >= 999.5)) return `${grouped(bytes)} B`;
  const power = Math.min(Math.floor(Math.log10(bytes * 1.0005) / 3), 4);
  const value = bytes / 1000 ** power;
  return `${grouped(value, value < 99.95 ? 1 : 0)} ${["", "kB", "MB", "GB", "TB"][power]}`;
}

function pad(value: number, length: number): string {
  return String(value).padStart(length, "0");
}

/** "YYYY-MM-DDTHH:MM" in UTC, "" outside what a Date holds. */
function isoMinute(unixSeconds: number): string {
  const date = new Date(unixSeconds * 1000);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString().slice(0, -8);
}

/** A moment (Unix seconds) as "2026-11-21 12:00 UTC". */
export function formatUtc(unixSeconds: number): string {
  const text = isoMinute(toMinute(unixSeconds));
  return text ? `${text.replace("T", " ")} UTC` : MISSING;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** A moment (Unix seconds) in UTC as "21 Nov 12:00". */
export function formatUtcShort(unixSeconds: number): string {
  const text = isoMinute(toMinute(unixSeconds));
  const date = new Date(toMinute(unixSeconds) * 1000);
  return text ? `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${text.slice(-5)}` : MISSING;
}

/** A moment (Unix seconds) in a zone, the browser's own by default, as "2026-11-21 04:00 PST". */
export function formatLocal(unixSeconds: number, timeZone?: string): string {
  if (!isoMinute(unixSeconds)) return MISSING;
  const format = new Intl.DateTimeFormat("en-US", {
    ...(timeZone && { timeZone }),
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    timeZoneName: "short",
  });
  const parts = Object.fromEntries(
    format.formatToParts(toMinute(unixSeconds) * 1000).map(({ type, value }) => [type, value]),
  );
  const { year, month, day, hour, minute, timeZoneName } = parts;
  return `${year}-${month}-${day} ${hour}:${minute} ${timeZoneName}`;
}

/** A moment (Unix seconds) as the value of <input type=datetime-local>, "YYYY-MM-DDTHH:MM". */
export function toDateTimeInput(unixSeconds: number, zone: Zone): string {
  const offset = zone === "local" ? new Date(unixSeconds * 1000).getTimezoneOffset() * 60 : 0;
  return isoMinute(unixSeconds - offset);
}

/**
 * The moment (Unix seconds) that the value of <input type=datetime-local> names, null for none. A local time that a
 * change of the clock leaves out is an hour later; of one that comes twice it is the first.
 */
export function fromDateTimeInput(text: string, zone: Zone): number | null {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?$/.test(text)) return null;
  const utc = Date.parse(`${text}Z`);
  // Browsers differ in whether 30 February is no day or 2 March.
  if (Number.isNaN(utc) || isoMinute(utc / 1000) !== text.slice(0, 16)) return null;
  return (zone === "utc" ? utc : Date.parse(text)) / 1000;
}
