// A search in words: what is looked for, from where, when and with what.

import { formatCoordinates } from "../coordinates";
import { wrap } from "../geo";
import type { Position } from "../plan";
import { balloonText } from "../plantext";
import { formatAltitude, formatDistance, formatUtc, formatUtcShort, type Units } from "../units";
import { balloonFrom } from "./configs";
import type { SearchBody } from "./searches";

const seconds = (rfc3339: string) => Date.parse(rfc3339) / 1000;

function placeText({ lat, lon }: Position): string {
  return formatCoordinates({ lat, lon: wrap(lon) }, "decimal");
}

/** What a search looks for, in a line. */
export function searchLine(body: SearchBody, units: Units): string {
  const { target, window, arrival } = body;
  const zone = `within ${formatDistance(target.radius, units)} of ${placeText(target)}${heightText(target, units)}`;
  if (!window) return `To be ${zone} at ${formatUtc(seconds(arrival!.time))}`;
  const span = `${formatUtcShort(seconds(window.from))} to ${formatUtcShort(seconds(window.to))} UTC`;
  return `${body.hit === "land" ? "To land" : "To pass"} ${zone}, launched ${span}`;
}

/** All of a search: what it is called, and what it was. */
export function searchRows(body: SearchBody, units: Units): [string, string][] {
  const { target, area, window, arrival, members } = body;
  const far = (metres: number) => formatDistance(metres, units);
  const shape = area.shape === "square" ? "Square of half side" : "Circle of radius";
  return [
    ["Target", `${far(target.radius)} around ${placeText(target)}${heightText(target, units)}`],
    ["What counts", countsText(body)],
    ["Launch places", `${shape} ${far(area.radius)} around ${placeText(area)}, every ${far(area.spacing)}`],
    [
      "Launch times",
      window
        ? `${formatUtc(seconds(window.from))} to before ${formatUtc(seconds(window.to))}, every ${window.step_hours} h`
        : `In the ${arrival!.days === 1 ? "day" : `${arrival!.days} days`} before, every ${arrival!.step_hours} h`,
    ],
    ...body.balloons.map((one, i): [string, string] => [i ? "" : "Balloons", balloonLine(one, units)]),
    ["Members", Array.isArray(members) ? members.join(", ") : "all"],
    ...(body.refine === false ? [["Flown", "every launch, hopeless ones too"] as [string, string]] : []),
  ];
}

function heightText({ lowest, highest }: SearchBody["target"], units: Units): string {
  const [low, high] = [lowest ?? null, highest ?? null].map((one) => one !== null && formatAltitude(one, units));
  if (low && high) return `, ${low} to ${high} high`;
  return low ? `, above ${low}` : high ? `, below ${high}` : "";
}

function countsText({ window, hit, arrival }: SearchBody): string {
  if (window) return hit === "land" ? "a landing in it" : "a flight through it";
  const { time, tolerance_minutes } = arrival!;
  return `being in it at ${formatUtc(seconds(time))}, ${tolerance_minutes} min before or after`;
}

function balloonLine(one: SearchBody["balloons"][number], units: Units): string {
  const balloon = balloonFrom({ ...one });
  if (!balloon) return one.name;
  const wind = balloon.coeff === 1 ? "" : `, ${balloon.coeff} of the wind`;
  return `${one.name}: ${balloonText(balloon, units)}${wind}`;
}
