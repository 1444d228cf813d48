// Colours of many things of one kind, told apart by lightness as well as by hue.

import type { PhaseName } from "./flight";

// Five colours of a ramp that rises in luminance for every kind of colour vision, after viridis (S. van der Walt and
// N. Smith, 2015); its yellow end is too bright for a light map, its purple end too dark for a dark one.
const RAMP = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];

/** The colour of `share` 0..1 of the ramp, as CSS. */
export function rampColour(share: number, dark: boolean): string {
  const [from, to] = dark ? [0.3, 1] : [0, 0.78];
  const place = (from + (to - from) * Math.min(1, Math.max(0, share))) * (RAMP.length - 1);
  const below = Math.min(RAMP.length - 2, Math.floor(place));
  const mix = RAMP[below]!.map((value, i) => Math.round(value + (place - below) * (RAMP[below + 1]![i]! - value)));
  return `rgb(${mix.join(" ")})`;
}

/** The value of a colour variable of the style sheet, as the theme has it now. */
export function cssColour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function phaseColour(name: PhaseName): string {
  return cssColour(`--${name}`);
}
