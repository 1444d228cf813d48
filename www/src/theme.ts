// Light and dark: as the system says, until the user chooses.

import { h, icon } from "./dom";
import { store, stored } from "./stored";

export type Theme = "light" | "dark";

const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<(theme: Theme) => void>();

export function theme(): Theme {
  const isTheme = (value: unknown) => value === "light" || value === "dark";
  return stored<Theme>("theme", isTheme, system.matches ? "dark" : "light");
}

export function chooseTheme(chosen: Theme): void {
  store("theme", chosen);
  applyTheme();
}

/** Calls `listener` with every change of the theme, until `signal`. */
export function onTheme(listener: (theme: Theme) => void, signal?: AbortSignal): void {
  listeners.add(listener);
  signal?.addEventListener("abort", () => listeners.delete(listener));
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

/** A button that changes to the other theme. */
export function themeButton(): HTMLButtonElement {
  const button = h("button", { type: "button", class: "icon-button", id: "theme" });
  const show = () => {
    const other = theme() === "dark" ? "light" : "dark";
    const label = `Use the ${other} theme`;
    button.setAttribute("aria-label", label);
    button.title = label;
    button.replaceChildren(icon(other === "dark" ? "moon" : "sun"));
  };
  button.addEventListener("click", () => chooseTheme(theme() === "dark" ? "light" : "dark"));
  onTheme(show);
  show();
  return button;
}

system.addEventListener("change", applyTheme);
