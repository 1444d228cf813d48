// What a browser remembers. A browser that remembers nothing (private windows, full disks) must not stop the page.

import type { Units } from "./units";

/** What is kept under `key` if it is what `isValid` knows, else `otherwise`: another version of the page may have kept it. */
export function stored<T>(key: string, isValid: (value: unknown) => boolean, otherwise: T): T {
  try {
    const text = localStorage.getItem(`habsim.${key}`);
    const value: unknown = text === null ? undefined : JSON.parse(text);
    return isValid(value) ? (value as T) : otherwise;
  } catch {
    return otherwise;
  }
}

/** Returns whether the value will be there the next time. */
export function store(key: string, value: unknown): boolean {
  try {
    localStorage.setItem(`habsim.${key}`, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** The units that were chosen, else those of the browser's language. */
export function storedUnits(): Units {
  const isUnits = (value: unknown) => value === "metric" || value === "imperial";
  return stored<Units>("units", isUnits, navigator.language === "en-US" ? "imperial" : "metric");
}

/** Whether somebody was signed in here the last time; the cookie itself is out of the reach of scripts. */
export function wasSignedIn(): boolean {
  return stored<boolean>("account", (value) => typeof value === "boolean", false);
}
