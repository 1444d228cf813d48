// Light and dark: as the system says, until the user chooses.

import { store, stored } from "./stored";

export type Theme = "light" | "dark";

const system = matchMedia("(prefers-color-scheme: dark)");
const listeners: ((theme: Theme) => void)[] = [];

export function theme(): Theme {
  const chosen = stored<string>("theme", "");
  if (chosen === "light" || chosen === "dark") return chosen;
  return system.matches ? "dark" : "light";
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
  const now = theme();
  document.documentElement.dataset.theme = now;
  for (const listener of listeners) listener(now);
}

system.addEventListener("change", applyTheme);
