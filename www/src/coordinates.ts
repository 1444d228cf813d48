// Positions as people paste them, and as they are shown.
import { wrap } from "./geo";
import type { Position } from "./plan";

export type CoordinateStyle = "decimal" | "dms" | "dm";

type Axis = "lat" | "lon";

interface Written {
  value: number;
  text: string;
  /** The sign ° ' or " that stands after it, "" for none. */
  mark: string;
}

/** One of the two coordinates: degrees, and perhaps minutes and seconds, with the letters that stand by it. */
interface Group {
  numbers: Written[];
  letters: string[];
}

const LIMITS: Record<Axis, [number, number]> = { lat: [-90, 90], lon: [-180, 360] };
const NAMES: Record<Axis, string> = { lat: "latitude", lon: "longitude" };
const AXES: Record<string, Axis> = { N: "lat", S: "lat", E: "lon", W: "lon" };
const PARTS = ["degrees", "minutes", "seconds"];
const MARKS = ["°", "'", '"'];

const NUMBER = String.raw`([+-]?\d+(?:\.\d+)?)`;
// The place that a map link is about comes before the middle of its map.
const LINKS = [
  `!3d${NUMBER}!4d${NUMBER}`,
  `[?&#]m?lat(?:itude)?=${NUMBER}&m?lo?ng?(?:itude)?=${NUMBER}`,
  `[=:]${NUMBER},[+\\s]*${NUMBER}`,
  `#map=[\\d.]+/${NUMBER}/${NUMBER}`,
  `[/@]${NUMBER},[+\\s]*${NUMBER}`,
].map((pattern) => new RegExp(pattern, "i"));

const LABEL = /[,;&\s]*["']?\b(lat|lo?ng?)(?:itude)?\b["']?\s*[:=]?\s*/gi;

class Unreadable extends Error {}

/** The position that a text names, in degrees as written, or in words why it names none. Never throws. */
export function parseCoordinates(text: string): Position | { error: string } {
  try {
    const tidy = tidied(text);
    return fromLink(tidy) ?? fromText(tidy);
  } catch (error) {
    if (error instanceof Unreadable) return { error: error.message };
    throw error;
  }
}

/** One sign for each that is used for it, decimal points for decimal commas, no brackets and no invisible characters. */
function tidied(text: string): string {
  const tidy = text
    .slice(0, 2000)
    .replace(/[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff()[\]{}]/g, " ")
    .replace(/[′’‘´`ʹ]/g, "'")
    .replace(/[″”“ʺ]|''/g, '"')
    .replace(/[º˚]/g, "°")
    .replace(/[−–‒]/g, "-")
    .trim();
  const commas = tidy.match(/\d,\d/g)?.length ?? 0;
  // One comma between digits is between the two numbers, unless something else is.
  const decimal = !tidy.includes(".") && commas > 0 && (tidy.includes(";") || commas === 2);
  return decimal ? tidy.replace(/(\d),(?=\d)/g, "$1.") : tidy;
}

function fromLink(text: string): Position | null {
  if (!/^(geo|https?):|[@?#]/i.test(text)) return null;
  const link = unescaped(text);
  for (const pattern of LINKS) {
    const found = pattern.exec(link);
    if (found) return checked(Number(found[1]), Number(found[2]));
  }
  throw new Unreadable("this link holds no position: paste the latitude and the longitude");
}

function unescaped(link: string): string {
  try {
    return decodeURIComponent(link);
  } catch {
    return link;
  }
}

function fromText(text: string): Position {
  const labels = [...text.matchAll(LABEL)].map((label) => (/^la/i.test(label[1]!) ? "lat" : "lon"));
  const groups = grouped(text.replace(LABEL, ","));
  const axes = groups.map((group, i) => axisOf(group) ?? labels[i]);
  if (axes[0] && axes[0] === axes[1]) throw new Unreadable(`both numbers are ${NAMES[axes[0] as Axis]}s`);
  const [first, second] = groups.map(degreesOf) as [number, number];
  const lonFirst = axes[0] === "lon" || axes[1] === "lat";
  return lonFirst ? checked(second, first) : checked(first, second);
}

/** The two coordinates of a text, in its order. */
function grouped(text: string): [Group, Group] {
  const numbers: Written[] = [];
  // Letters and separators, each with how many numbers stand before it.
  const letters: { letter: string; at: number }[] = [];
  const separators: number[] = [];
  for (const [token] of text.matchAll(/[+-]?\d+(?:\.\d*)?|[+-]?\.\d+|\p{L}+|\S/gu)) {
    const last = numbers.at(-1);
    if (/\d/.test(token)) numbers.push({ value: Number(token), text: token, mark: "" });
    else if (MARKS.includes(token) && last && !last.mark) last.mark = token;
    else if (/^[NSEW]$/i.test(token)) letters.push({ letter: token.toUpperCase(), at: numbers.length });
    else if (/[,;/|]/.test(token)) separators.push(numbers.length);
    else throw new Unreadable(`"${token.slice(0, 40)}" cannot be read: a position is such as 37.3553, -121.8763`);
  }
  if (numbers.length < 2) {
    const count = numbers.length ? "there is only one number" : "there is no number";
    throw new Unreadable(`${count}: a position is a latitude and a longitude`);
  }
  const before = letters[0]?.at === 0;
  const split = splitOf(numbers, letters.map(({ at }) => at).slice(before ? 1 : 0), separators);
  const side = (inside: (i: number) => boolean): Group => ({
    numbers: numbers.filter((_, i) => inside(i)),
    letters: letters.filter(({ at }) => inside(before ? at : at - 1)).map(({ letter }) => letter),
  });
  return [side((i) => i < split), side((i) => i >= split)];
}

/** How many of the numbers belong to the first coordinate. */
function splitOf(numbers: Written[], letters: number[], separators: number[]): number {
  const between = [...new Set(separators)].filter((at) => at > 0 && at < numbers.length);
  const degrees = numbers.flatMap(({ mark }, i) => (mark === "°" && i > 0 ? [i] : []));
  const letter = letters.find((at) => at > 0 && at < numbers.length);
  const split = between.length === 1 ? between[0] : (degrees[0] ?? letter ?? numbers.length / 2);
  if (split === undefined || !Number.isInteger(split) || between.length > 1) {
    throw new Unreadable(`there are ${numbers.length} numbers: a comma is needed between latitude and longitude only`);
  }
  return split;
}

function axisOf({ letters }: Group): Axis | undefined {
  if (letters.length > 1) throw new Unreadable(`${letters.join(" and ")} stand by one number: one of them is needed`);
  return AXES[letters[0] ?? ""];
}

/** Degrees of a coordinate from its degrees, minutes and seconds, its sign and its letter. */
function degreesOf({ numbers, letters }: Group): number {
  if (numbers.length > 3) throw new Unreadable(`${numbers.length} numbers stand for one coordinate: at most 3 can`);
  let degrees = 0;
  for (const [i, { value, text, mark }] of numbers.entries()) {
    const part = PARTS[i]!;
    if (mark && mark !== MARKS[i]) throw new Unreadable(`${text}${mark} stands where ${part} are expected`);
    if (i > 0 && !(value >= 0 && value < 60)) throw new Unreadable(`${part} are ${text}, they must be 0 to below 60`);
    if (i < numbers.length - 1 && !Number.isInteger(value)) {
      throw new Unreadable(`${part} are ${text}, with ${PARTS[i + 1]} they must be whole`);
    }
    degrees += Math.abs(value) / 60 ** i;
  }
  const start = numbers[0]!.text;
  const [letter] = letters;
  if (letter && start.startsWith("-")) throw new Unreadable(`${start} ${letter} has both a minus and ${letter}`);
  // The sign is read from the text: that of -0 degrees 30 minutes is not in the number. + 0 turns -0 into 0.
  return (start.startsWith("-") || letter === "S" || letter === "W" ? -degrees : degrees) + 0;
}

function checked(lat: number, lon: number): Position {
  for (const [axis, value] of [
    ["lat", lat],
    ["lon", lon],
  ] as const) {
    const [least, most] = LIMITS[axis];
    if (!(value >= least && value <= most)) {
      throw new Unreadable(`${NAMES[axis]} is ${Number(value.toFixed(7))}, it must be ${least}..${most}`);
    }
  }
  return { lat, lon };
}

/** A position as text: "37.35530, -121.87630", `37°21'19.1"N 121°52'34.7"W` or `37°21.318'N 121°52.578'W`. */
export function formatCoordinates({ lat, lon }: Position, style: CoordinateStyle): string {
  const east = wrap(lon);
  if (style === "decimal") return `${fixed(lat)}, ${fixed(east)}`;
  return `${hemisphere(lat, "NS", style)} ${hemisphere(east, "EW", style)}`;
}

function fixed(degrees: number): string {
  return degrees.toFixed(5).replace(/^-(0\.0+)$/, "$1");
}

function hemisphere(degrees: number, letters: string, style: "dms" | "dm"): string {
  // Rounded once, in the smallest unit that is shown, so that no part ever reads 60.
  const [perMinute, places] = style === "dms" ? [600, 1] : [1000, 3];
  const units = Math.round(Math.abs(degrees) * 60 * perMinute);
  const letter = letters[degrees < 0 && units > 0 ? 1 : 0];
  const whole = Math.floor(units / (60 * perMinute));
  const rest = units % (60 * perMinute);
  if (style === "dm") return `${whole}°${(rest / perMinute).toFixed(places).padStart(6, "0")}'${letter}`;
  const minutes = String(Math.floor(rest / perMinute)).padStart(2, "0");
  return `${whole}°${minutes}'${((rest % perMinute) / 10).toFixed(places).padStart(4, "0")}"${letter}`;
}
