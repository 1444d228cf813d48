// What a browser remembers. A browser that remembers nothing (private windows, full disks) must not stop the page.

export function stored<T>(key: string, otherwise: T): T {
  try {
    const text = localStorage.getItem(`habsim.${key}`);
    return text === null ? otherwise : (JSON.parse(text) as T);
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
