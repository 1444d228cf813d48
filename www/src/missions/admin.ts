// What administrators see: users, organisations, the queue.

import { h, iconButton, toast } from "../dom";
import { LongTextField, refuse, TextField } from "../fields";
import type { components } from "../schema";
import { type App, attempt, heading, moment, problemLine, reasonOf, type View } from "./app";
import { confirmed, dialog } from "./dialogs";
import { IDLE_MS, poll } from "./poll";
import { accountFields, GIVEN_PASSWORD, passwordProblem } from "./signin";
import { type Column, pager, table } from "./table";

type Schemas = components["schemas"];
type User = Schemas["User"];
type Organization = Schemas["Organization"];
type Queue = Schemas["QueueStats"];

const PER_PAGE = 20;
const MOST_CHOICES = 100;
const SEARCH_AFTER_MS = 300;
const QUEUE_MS = IDLE_MS / 5;

export const adminView: View = (root, app, signal) => {
  const queue = h("section", { class: "card", "aria-label": "Queue" });
  const organizations = new Organizations(app, signal);
  const users = new Users(app, signal, organizations);
  organizations.onChange = () => users.show();
  root.append(heading("Administration"), queue, users.root, organizations.root);
  void organizations.load().then(() => users.load());
  poll(
    async () => {
      queue.replaceChildren(
        ...queueOf(await app.session.ask<Queue>("GET", "simulations/queue/stats", undefined, signal)),
      );
      return QUEUE_MS;
    },
    (reason) => {
      if (reason) queue.replaceChildren(h("h3", {}, "Queue"), h("p", { class: "bad" }, reason));
    },
    signal,
  );
};

function queueOf({ lanes, workers }: Queue): HTMLElement[] {
  const figure = (label: string, value: number) =>
    h("div", { class: "figure" }, h("span", { class: "note" }, label), h("strong", {}, value.toLocaleString("en")));
  return [
    h("h3", {}, "Queue"),
    h(
      "div",
      { class: "figures" },
      figure("Flights waiting", lanes.forward.pending),
      figure("Flights running", lanes.forward.processing),
      figure("Searches waiting", lanes.reverse.pending),
      figure("Searches running", lanes.reverse.processing),
      figure("Workers", workers),
    ),
    ...(workers
      ? []
      : [h("p", { class: "bad" }, "No worker runs: what is submitted waits. Start one with: make worker")]),
  ];
}

class Organizations {
  readonly root = h("section", { class: "card", "aria-label": "Organisations" });
  onChange: () => void = () => {};
  all: Organization[] = [];
  readonly #problem = problemLine("organizations-problem");
  readonly #list = h("div", { class: "scroll-x" });

  constructor(
    readonly app: App,
    readonly signal: AbortSignal,
  ) {
    const name = new TextField("organization-name", "New organisation", { maxlength: 100 }, {}, (text) =>
      text.trim() ? null : "Needs a name",
    );
    const button = h("button", {}, "Add");
    const form = h("form", { class: "inline", novalidate: true }, name.root, button);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const reason = name.problem();
      name.fail(reason);
      if (reason) return;
      void attempt(button, this.#problem, async () => {
        try {
          await app.session.ask("POST", "auth/admin/organizations", { name: name.text });
          name.text = "";
          await this.load();
        } catch (error) {
          if (!refuse(error, { name })) throw error;
        }
      });
    });
    this.root.append(h("h3", {}, "Organisations"), this.#list, this.#problem, form);
  }

  async load(): Promise<void> {
    try {
      const path = `auth/admin/organizations?per_page=${MOST_CHOICES}`;
      const found = await this.app.session.ask<Schemas["Organizations"]>("GET", path, undefined, this.signal);
      this.all = found.organizations;
      this.#list.replaceChildren(
        found.organizations.length
          ? table("Organisations", this.#columns(), found.organizations)
          : h("p", { class: "empty" }, "No organisations yet."),
      );
      this.onChange();
    } catch (error) {
      if (!this.signal.aborted) this.#problem.textContent = reasonOf(error);
    }
  }

  #columns(): Column<Organization>[] {
    return [
      {
        title: "Name",
        kind: "main",
        cell: ({ name, description }) =>
          h(
            "div",
            {},
            h("span", { class: "name" }, name),
            description && h("span", { class: "note description" }, description),
          ),
      },
      { title: "Members", kind: "number", cell: ({ members }) => String(members) },
      { title: "State", cell: ({ is_active }) => (is_active ? "active" : "not active") },
      { title: "Made", cell: ({ created }) => moment(created) },
      {
        title: "Actions",
        kind: "actions",
        cell: (one) =>
          h(
            "div",
            { class: "row tight" },
            iconButton("edit", `Change ${one.name}`, () => this.#edit(one)),
            iconButton("trash", `Delete ${one.name}`, () =>
              confirmed(
                `Delete ${one.name}?`,
                "Its members keep their accounts; what they shared is theirs alone.",
                "Delete",
                async () => {
                  await this.app.session.ask("DELETE", `auth/admin/organizations/${one.id}`);
                  await this.load();
                },
              ),
            ),
          ),
      },
    ];
  }

  #edit(one: Organization): void {
    const name = new TextField("edit-name", "Name", { maxlength: 100 });
    name.text = one.name;
    const description = new LongTextField("edit-description", "Description", 500);
    description.text = one.description;
    const active = h("input", { type: "checkbox", id: "edit-active", checked: one.is_active });
    const label = h("label", { class: "check" }, active, "Active: members see what is shared");
    dialog(
      `Change ${one.name}`,
      [name.root, description.root, label],
      "Save",
      async () => {
        await this.app.session.ask("PUT", `auth/admin/organizations/${one.id}`, {
          name: name.text,
          description: description.text,
          is_active: active.checked,
        });
        await this.load();
      },
      { name, description },
    );
  }
}

class Users {
  readonly root = h("section", { class: "card", "aria-label": "Users" });
  readonly #problem = problemLine("users-problem");
  readonly #list = h("div", { class: "scroll-x" });
  readonly #below = h("div", {});
  readonly #search = new TextField(
    "user-search",
    "Search",
    { type: "search", maxlength: 64 },
    { hint: "Part of a name or address" },
  );
  #found: User[] = [];
  #page = 1;
  #timer = 0;

  constructor(
    readonly app: App,
    readonly signal: AbortSignal,
    readonly organizations: Organizations,
  ) {
    this.#search.input.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#page = 1;
      this.#timer = window.setTimeout(() => void this.load(), SEARCH_AFTER_MS);
    });
    this.root.append(
      h("h3", {}, "Users"),
      h("div", { class: "filters" }, this.#search.root),
      this.#problem,
      this.#list,
      this.#below,
      h("div", {}, h("button", { type: "button", onclick: () => this.#add() }, "New account")),
    );
  }

  /** For who cannot register, or need not. */
  #add(): void {
    const fields = accountFields(false);
    const texts = () => Object.entries(fields).map(([name, { text }]) => [name, name === "name" ? text.trim() : text]);
    dialog(
      "A new account",
      Object.values(fields).map(({ root }) => root),
      "Make it",
      async () => {
        await this.app.session.ask("POST", "auth/register", Object.fromEntries(texts()));
        toast(`${fields.username.text} has an account`);
        await this.load();
      },
      fields,
    );
  }

  async load(): Promise<void> {
    const query = new URLSearchParams({
      page: String(this.#page),
      per_page: String(PER_PAGE),
      search: this.#search.text,
    });
    try {
      const found = await this.app.session.ask<Schemas["Users"]>(
        "GET",
        `auth/admin/users?${query}`,
        undefined,
        this.signal,
      );
      this.#found = found.users;
      this.show();
      this.#below.replaceChildren(
        pager(this.#page, PER_PAGE, found.total, (to) => {
          this.#page = to;
          void this.load();
        }),
      );
    } catch (error) {
      if (!this.signal.aborted) this.#problem.textContent = reasonOf(error);
    }
  }

  show(): void {
    this.#list.replaceChildren(
      this.#found.length
        ? table("Users", this.#columns(), this.#found)
        : h("p", { class: "empty" }, "Nobody is found."),
    );
  }

  #columns(): Column<User>[] {
    const isMe = (user: User) => user.id === this.app.session.user?.id;
    return [
      {
        title: "User",
        kind: "main",
        cell: ({ username, name, email }) =>
          h(
            "div",
            {},
            h("span", { class: "name" }, username),
            h("span", { class: "note description" }, [name, email].filter(Boolean).join(", ")),
          ),
      },
      { title: "Last login", cell: ({ last_login }) => moment(last_login) },
      { title: "Active", cell: (user) => this.#box(user, "is_active", `${user.username} is active`, isMe(user)) },
      {
        title: "Admin",
        cell: (user) => this.#box(user, "is_admin", `${user.username} is an administrator`, isMe(user)),
      },
      { title: "Organisation", cell: (user) => this.#choice(user) },
      {
        title: "Actions",
        kind: "actions",
        cell: (user) =>
          isMe(user)
            ? h("span", { class: "note" }, "you")
            : h(
                "div",
                { class: "row tight" },
                iconButton("key", `Set a new password for ${user.username}`, () => this.#setPassword(user)),
                iconButton("trash", `Delete ${user.username}`, () => this.#remove(user)),
              ),
      },
    ];
  }

  #remove(user: User): void {
    confirmed(`Delete ${user.username}?`, "All simulations of the user go too.", "Delete", async () => {
      await this.app.session.ask("DELETE", `auth/admin/users/${user.id}`);
      await this.load();
    });
  }

  #deactivate(user: User): void {
    const question = `Deactivate ${user.username}?`;
    const text = "The user is signed out everywhere and cannot sign in; nothing is deleted.";
    const box = confirmed(question, text, "Deactivate", () => this.#change(user, { is_active: false }));
    // The box of the table goes back to what is so.
    box.addEventListener("close", () => this.show());
  }

  #setPassword(user: User): void {
    const password = new TextField(
      "new-password",
      "New password",
      { autocomplete: "off", spellcheck: "false", maxlength: 200 },
      { hint: GIVEN_PASSWORD },
      passwordProblem,
    );
    dialog(
      `A new password for ${user.username}`,
      [h("p", {}, "The old one is no longer good, and who uses it is signed out everywhere."), password.root],
      "Set it",
      async () => {
        await this.app.session.ask("PUT", `auth/admin/users/${user.id}`, { password: password.text });
        toast(`${user.username} has a new password`);
      },
      { password },
    );
  }

  /** Nobody shuts themselves out. */
  #box(user: User, name: "is_active" | "is_admin", label: string, disabled: boolean): HTMLElement {
    const input = h("input", { type: "checkbox", checked: user[name], "aria-label": label, disabled });
    input.addEventListener("change", () => {
      const change = () => this.#change(user, { [name]: input.checked });
      if (name === "is_admin" || input.checked) void change();
      else this.#deactivate(user);
    });
    return input;
  }

  #choice(user: User): HTMLElement {
    const known = this.organizations.all.map(({ id, name }) => ({ id, name }));
    const own = user.organization;
    if (own && !known.some(({ id }) => id === own.id)) known.push(own);
    const select = h(
      "select",
      { "aria-label": `Organisation of ${user.username}` },
      h("option", { value: "" }, "none"),
      ...known.map(({ id, name }) => h("option", { value: id }, name)),
    );
    select.value = own?.id ?? "";
    select.addEventListener("change", () => void this.#change(user, { organization_id: select.value || null }));
    return select;
  }

  async #change(user: User, changes: Record<string, unknown>): Promise<void> {
    this.#problem.textContent = "";
    try {
      const changed = await this.app.session.ask<User>("PUT", `auth/admin/users/${user.id}`, changes);
      this.#found = this.#found.map((one) => (one.id === user.id ? changed : one));
      toast(`${user.username} is changed`);
      if ("organization_id" in changes) await this.organizations.load();
      // What is signed in here shows its organisation.
      if (user.id === this.app.session.user?.id) this.app.session.user = changed;
    } catch (error) {
      this.#problem.textContent = reasonOf(error);
      // The box goes back to what is so.
      this.show();
    }
  }
}
