// The balloon calculator in a dialog, for the form of a plan.

import { Calculator, type Sized } from "./calculator";
import { h } from "./dom";
import type { Units } from "./units";

/** What was sized; null when the dialog is left without it. */
export function askBalloon(units: Units): Promise<Sized | null> {
  const calculator = new Calculator(units);
  const use = h(
    "button",
    { type: "button", class: "primary", disabled: true, onclick: () => box.close("use") },
    "Use it",
  );
  const box = h(
    "dialog",
    { class: "balloon", "aria-labelledby": "balloon-title" },
    h("h2", { id: "balloon-title" }, "From balloon and payload"),
    calculator.root,
    h(
      "div",
      { class: "row" },
      h("span", { class: "spring" }),
      h("button", { type: "button", onclick: () => box.close() }, "Cancel"),
      use,
    ),
  );
  let sized: Sized | null = null;
  calculator.onSized = (found) => {
    sized = found;
    use.disabled = found === null;
  };
  const opener = document.activeElement;
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      box.remove();
      if (opener instanceof HTMLElement) opener.focus();
      resolve(box.returnValue === "use" ? sized : null);
    });
  });
}
