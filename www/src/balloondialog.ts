// The balloon calculator in a dialog, for the form of a plan.

import { Calculator, ratesOf, type Sized } from "./calculator";
import { h } from "./dom";
import type { Balloon } from "./plan";
import type { Units } from "./units";

/** What becomes of `balloon` with the one that was sized; null when the dialog is left without it. */
export function askBalloon(units: Units, balloon: Balloon): Promise<Partial<Balloon> | null> {
  const calculator = new Calculator(units);
  const button = (label: string, how: string, look: string) =>
    h("button", { type: "button", class: look, disabled: true, onclick: () => box.close(how) }, label);
  const fly = button("Fly this balloon", "fly", "");
  const use = button("Use its mean ascent rate", "use", "primary");
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
      fly,
      use,
    ),
  );
  let sized: Sized | null = null;
  calculator.onSized = (found) => {
    sized = found;
    use.disabled = found === null;
    fly.disabled = !found?.balloon;
  };
  const opener = document.activeElement;
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      box.remove();
      if (opener instanceof HTMLElement) opener.focus();
      if (!sized || !box.returnValue) return resolve(null);
      resolve(box.returnValue === "fly" ? sized.balloon : ratesOf(sized, balloon));
    });
  });
}
