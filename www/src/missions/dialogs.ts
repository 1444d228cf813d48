// Questions in dialogs.

import { h, toast } from "../dom";
import { allRight, checkBox, type Field, LongTextField, refuse, TextField } from "../fields";
import { type App, attempt, problemLine, type Simulation } from "./app";

/**
 * A dialog that does something when its button is pressed, and stays with the reason when that fails; `otherwise` is
 * the button that does nothing.
 */
export function dialog(
  title: string,
  content: (HTMLElement | string)[],
  verb: string,
  action: () => Promise<void>,
  fields: Record<string, Field> = {},
  otherwise = "Cancel",
): HTMLDialogElement {
  const problem = problemLine("dialog-problem");
  const button = h("button", { class: "primary" }, verb);
  const form = h(
    "form",
    { class: "ask", novalidate: true },
    h("h2", { id: "dialog-title" }, title),
    ...content,
    problem,
    h(
      "div",
      { class: "row" },
      h("span", { class: "spring" }),
      h("button", { type: "button", onclick: () => box.close() }, otherwise),
      button,
    ),
  );
  const box = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!allRight(Object.values(fields))) return;
    void attempt(button, problem, async () => {
      try {
        await action();
        box.close();
      } catch (error) {
        if (!refuse(error, fields)) throw error;
      }
    });
  });
  const opener = document.activeElement;
  box.addEventListener("close", () => {
    box.remove();
    if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
  });
  document.body.append(box);
  box.showModal();
  return box;
}

/** Ask before something that cannot be undone. */
export function confirmed(
  question: string,
  text: string,
  verb: string,
  action: () => Promise<void>,
  otherwise?: string,
): HTMLDialogElement {
  return dialog(question, [h("p", {}, text)], verb, action, {}, otherwise);
}

export function nameOf(one: Pick<Simulation, "name" | "type" | "id">): string {
  return one.name || `${KINDS[one.type]} ${one.id.slice(0, 8)}`;
}

export const KINDS: Record<Simulation["type"], string> = {
  forward: "Flight",
  ensemble: "Ensemble",
  reverse: "Search",
};

/** Name, describe and share a simulation. */
export function edit(app: App, one: Simulation, onDone: (changed: Simulation) => void): void {
  const name = new TextField("edit-name", "Name", { maxlength: 200 }, { wide: true });
  name.text = one.name;
  const description = new LongTextField("edit-description", "Description", 2000);
  description.text = one.description;
  const shared = shareBox(app, one.shared);
  dialog(
    "Name, describe, share",
    [name.root, description.root, shared.root],
    "Save",
    async () => {
      const changes = { name: name.text, description: description.text, shared: shared.input.checked };
      const same = changes.shared === one.shared;
      const { shared: _, ...texts } = changes;
      onDone(await app.session.ask<Simulation>("PUT", `simulations/${one.id}`, same ? texts : changes));
      toast("Saved");
    },
    { name, description },
  );
}

/** Whether to share with the own organisation; who has none is told how to get one. */
export function shareBox(app: App, checked: boolean): { root: HTMLElement; input: HTMLInputElement } {
  const organization = app.session.user?.organization;
  const box = checkBox(
    "share",
    organization ? `Share with ${organization.name}` : "Share with an organisation",
    checked,
  );
  if (organization) return box;
  box.input.disabled = !checked;
  box.root.append(h("span", { class: "note" }, "An administrator can add you to one"));
  return box;
}

export function cancel(app: App, one: Simulation, onDone: () => void): void {
  const stop = async () => {
    await app.session.ask("POST", `simulations/${one.id}/cancel`, {});
    onDone();
  };
  confirmed(
    `Cancel ${nameOf(one)}?`,
    "It stays in the list with its plan, without a result.",
    "Cancel it",
    stop,
    "Keep it running",
  );
}

export function remove(app: App, one: Simulation, onDone: () => void): void {
  confirmed(`Delete ${nameOf(one)}?`, "It goes with its result, and cannot be brought back.", "Delete", async () => {
    await app.session.ask("DELETE", `simulations/${one.id}`);
    toast(`${nameOf(one)} is deleted`);
    onDone();
  });
}
