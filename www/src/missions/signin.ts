// Signing in and registering.

import { ApiError } from "../api";
import { announce, h } from "../dom";
import { allRight, type Field, refuse, TextField } from "../fields";
import { type App, attempt, problemLine, reasonOf } from "./app";

const SHORTEST_PASSWORD = 8;
/** Below a password that an administrator sets. */
export const GIVEN_PASSWORD = `At least ${SHORTEST_PASSWORD} characters. Pass it on to the user, who can change it`;

export function passwordProblem(text: string): string | null {
  return text.length < SHORTEST_PASSWORD ? `At least ${SHORTEST_PASSWORD} characters` : null;
}

export function emailProblem(text: string): string | null {
  return /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(text) ? null : "An address such as name@example.org";
}

const needed = (text: string) => (text ? null : "Is needed");

/** The two forms, one at a time; `why` says why somebody has to sign in now. */
export function signIn(root: HTMLElement, app: App, why: string): void {
  const card = h("section", { class: "card narrow" });
  root.append(card);
  const show = (form: (swap: () => void) => HTMLElement[], other: () => void) => {
    card.replaceChildren(...form(other));
    card.querySelector("input")?.focus();
  };
  const signing = () => show((swap) => loginForm(app, why, swap), registering);
  const registering = () => show((swap) => registerForm(app, swap), signing);
  signing();
}

function loginForm(app: App, why: string, swap: () => void): HTMLElement[] {
  const username = new TextField("username", "Username", { autocomplete: "username", maxlength: 50 }, {}, needed);
  const password = new TextField(
    "password",
    "Password",
    { type: "password", autocomplete: "current-password", maxlength: 200 },
    {},
    needed,
  );
  const form = formOf("Sign in", { username, password }, () => app.session.signIn(username.text, password.text));
  return [
    h("h2", {}, "Sign in"),
    h("p", { class: "quiet" }, why),
    form,
    h("p", { class: "note" }, "Forgotten the password? An administrator sets a new one."),
    h("p", {}, "No account yet? ", h("button", { type: "button", class: "link", onclick: swap }, "Register")),
  ];
}

/** What an account is made of; `isOwn` for who makes it for themselves. */
export function accountFields(isOwn: boolean) {
  const complete = (what: string) => (isOwn ? what : "off");
  return {
    username: new TextField(
      "username",
      "Username",
      { autocomplete: complete("username"), maxlength: 50, spellcheck: "false" },
      { hint: "Letters, digits, dots, hyphens and underscores" },
      (text) =>
        /^[A-Za-z0-9][A-Za-z0-9._-]+$/.test(text)
          ? null
          : "At least 2 letters, digits, dots, hyphens or underscores, a letter or digit first",
    ),
    email: new TextField(
      "email",
      "Email",
      { type: "email", autocomplete: complete("email"), maxlength: 255 },
      {},
      emailProblem,
    ),
    name: new TextField(
      "full-name",
      "Name",
      { autocomplete: complete("name"), maxlength: 100 },
      { hint: "May be empty" },
    ),
    password: new TextField(
      "password",
      "Password",
      isOwn
        ? { type: "password", autocomplete: "new-password", maxlength: 200 }
        : { autocomplete: "off", spellcheck: "false", maxlength: 200 },
      { hint: isOwn ? `At least ${SHORTEST_PASSWORD} characters` : GIVEN_PASSWORD },
      passwordProblem,
    ),
  };
}

function registerForm(app: App, swap: () => void): HTMLElement[] {
  const fields = accountFields(true);
  const form = formOf("Register", fields, () =>
    app.session.register({
      username: fields.username.text,
      email: fields.email.text,
      name: fields.name.text.trim(),
      password: fields.password.text,
    }),
  );
  return [
    h("h2", {}, "Register"),
    form,
    h("p", {}, "An account already? ", h("button", { type: "button", class: "link", onclick: swap }, "Sign in")),
  ];
}

/** Fields, a button, and what went wrong with it, at the field where it belongs to one. */
export function formOf(verb: string, fields: Record<string, Field>, action: () => Promise<void>): HTMLFormElement {
  const problem = problemLine(`${Object.values(fields)[0]!.input.id}-problem`);
  const button = h("button", { class: "primary" }, verb);
  const form = h(
    "form",
    { novalidate: true, class: "stack" },
    ...Object.values(fields).map((field) => field.root),
    problem,
    button,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!allRight(Object.values(fields))) return;
    void attempt(button, problem, async () => {
      try {
        await action();
      } catch (error) {
        if (refuse(error, fields)) return;
        if (error instanceof ApiError && error.status === 429) countDown(button, problem, error);
        throw error;
      }
    });
  });
  return form;
}

/** While the service lets nobody try, the button says from when on it does. */
function countDown(button: HTMLButtonElement, problem: HTMLElement, error: ApiError): void {
  const verb = button.textContent;
  const end = Date.now() + 1000 * (error.retryAfterSeconds ?? 1);
  const timer = setInterval(tick, 500);
  function tick() {
    const left = Math.ceil((end - Date.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? `${verb} in ${left} s` : verb;
    if (left > 0) return;
    clearInterval(timer);
    if (problem.textContent === reasonOf(error)) problem.textContent = "";
    announce("You can try again now");
  }
  // After what the button is set to when the attempt ends.
  setTimeout(tick);
}
