// Light and dark: as the system says, until the user chooses.

import { store, stored } from "./stored";

export type Theme = "light" | "dark";

const system = matchMedia("(prefers-color-scheme: dark)");
const listeners: ((theme: Theme) => void)[] = [];

export function theme(): Theme {
  const isTheme = (value: unknown) => value === "light" || value === "dark";
  return stored<Theme>("theme", isTheme, system.matches ? "dark" : "light");
}

export function chooseTheme(chosen: Theme): void {
  store("theme", chosen);
  applyTheme();
}

/** Calls `listener` with every change of the theme. */
export function onTheme(listener: (theme: Theme) => void): void {
  listeners.push(listener);
}

export function applyTheme(): void {
  showAs(theme());
}

/** Show a theme without choosing it. */
export function showAs(now: Theme): void {
  if (document.documentElement.dataset.theme === now) return;
  document.documentElement.dataset.theme = now;
  for (const listener of listeners) listener(now);
}

system.addEventListener("change", applyTheme);
