// Elements in few words.

type Child = Node | string | null | undefined | false;
// biome-ignore lint/suspicious/noExplicitAny: events have many types, and the name says which
type Props = Record<string, string | number | boolean | null | undefined | ((event: any) => void)>;

/** An element: functions become listeners (`onclick`), `true` an empty attribute, `false` and null no attribute. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => child != null && child !== false));
  return element;
}

/** Paths of 24 x 24 icons, drawn with strokes. */
const ICONS = {
  wind: "M3 8h10a3 3 0 1 0-3-3M3 12h15a3 3 0 1 1-3 3M3 16h7a2.500 2.500 0 1 1-2.500 2.500",
  zone: "M4 8l7-4 9 5-2 9-9 2zM4 8v0M11 4v0M20 9v0M18 18v0M9 20v0",
  target: "M12 2v5M12 17v5M2 12h5M17 12h5M12 12m-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0",
  locate: "M12 12m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0M12 2v3M12 19v3M2 12h3M19 12h3",
  launch: "M12 21V9M7 14l5-5 5 5M5 4h14",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500z",
  sun: "M12 12m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0M12 2v2M12 20v2M4.500 4.500l1.500 1.500M18 18l1.500 1.500M2 12h2M20 12h2M4.500 19.500l1.500-1.500M18 6l1.500-1.500",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  close: "M6 6l12 12M18 6L6 18",
  expand: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  edit: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  list: "M8 6h12M8 12h12M8 18h12M4 6v0M4 12v0M4 18v0",
  key: "M14 10a4 4 0 1 0-3 3l1.500 1.500H15V17h2.500v2.500H20V16.500l-6-6",
  fit: "M8 3H3v5M16 3h5v5M8 21H3v-5M16 21h5v-5M9 9h6v6H9z",
} as const;
export type Icon = keyof typeof ICONS;

export function icon(name: Icon): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** A button with an icon whose name is read out and shown on hover. */
export function iconButton(name: Icon, label: string, onclick: (event: Event) => void, props: Props = {}) {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props },
    icon(name),
  );
}

/** Says `text` to screen readers, and to nobody else. */
export function announce(text: string): void {
  byId("announcer").textContent = text;
}

/** Shows a message for as long as it takes to read it. */
export function toast(text: string): void {
  const box = byId("toasts");
  const message = h("p", { class: "toast" }, text);
  box.append(message);
  setTimeout(() => message.remove(), 2500 + 60 * text.length);
}

export function definitions(rows: [string, Child][]): HTMLDListElement {
  return h("dl", {}, ...rows.flatMap(([term, value]) => (value ? [h("dt", {}, term), h("dd", {}, value)] : [])));
}

/** Asks for a short text in a dialog; null when it is cancelled. */
export function askName(question: string, suggestion: string): Promise<string | null> {
  const input = h("input", { id: "name", type: "text", maxlength: 60, required: true });
  input.value = suggestion;
  const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const form = h(
    "form",
    { method: "dialog", class: "ask" },
    h("label", { for: "name" }, question),
    input,
    h(
      "div",
      { class: "row" },
      h("span", { class: "spring" }),
      cancel,
      h("button", { class: "primary", value: "save" }, "Save"),
    ),
  );
  const dialog = h("dialog", { "aria-label": question }, form);
  document.body.append(dialog);
  dialog.showModal();
  input.select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "save" ? input.value.trim() : null);
    });
  });
}

/** A choice of few, shown all at once. */
export function segments<T extends string>(
  name: string,
  label: string,
  options: Record<T, string>,
  chosen: T,
  onChoose: (value: T) => void,
): HTMLElement {
  const parts = (Object.entries(options) as [T, string][]).flatMap(([value, text]) => {
    const id = `${name}-${value}`;
    const input = h("input", { type: "radio", name, id, value, checked: value === chosen });
    input.addEventListener("change", () => onChoose(value));
    return [input, h("label", { for: id }, text)];
  });
  return h("div", { class: "segments", role: "radiogroup", "aria-label": label }, ...parts);
}
