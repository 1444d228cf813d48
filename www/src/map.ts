// The map: where the launch is, what a click does, and the layers that results draw on.

import L from "leaflet";
import { BASES, BaseMaps, type BaseName } from "./basemap";
import { cssColour } from "./colours";
import { h, type Icon, icon, toast } from "./dom";
import { nearest, unroll, wrap } from "./geo";
import { CLICK, leafletMap, pointed, rounded } from "./leafletmap";
import { pin } from "./pin";
import type { Plan, Position } from "./plan";
import type { PlanState } from "./state";
import { store, stored } from "./stored";
import { onTheme, theme } from "./theme";

/** What a click on the map does. */
export type Tool = "launch" | "wind" | "zone" | "target";

const TOOLS: Record<Tool, { icon: Icon; label: string; hint: string }> = {
  launch: {
    icon: "launch",
    label: "Choose the launch on the map",
    hint: `${CLICK} the map where the balloon is launched`,
  },
  wind: { icon: "wind", label: "Wind at a point", hint: `${CLICK} the map to see the wind above a point` },
  zone: { icon: "zone", label: "Draw a landing zone", hint: "" },
  target: {
    icon: "target",
    label: "Choose the point distances are measured from",
    hint: `${CLICK} the point that landings are measured from`,
  },
};

// What is left between the margins of A4 and of US Letter, in pixels of CSS.
const PAPER_PX = 700;
const printing = matchMedia("print");

// Fingers are less exact than a mouse.
const TOLERANCE_PX = matchMedia("(pointer: coarse)").matches ? 14 : 6;

// Two taps in less are the double tap of Leaflet.
const DOUBLE_TAP_MS = 300;

export class MapView {
  readonly map: L.Map;
  readonly renderer = L.canvas({ padding: 0.3, tolerance: TOLERANCE_PX });
  readonly bases: BaseMaps;
  onWind: (place: Position) => void = () => {};
  readonly #state: PlanState;
  readonly #launch: L.Marker;
  readonly #target: L.Marker;
  readonly #wind: L.Marker;
  readonly #zone = L.layerGroup();
  readonly #buttons = new Map<Tool, HTMLButtonElement>();
  readonly #hint: HTMLElement;
  #tool: Tool | null = null;
  /** Clicks without a tool set the launch. */
  #clickLaunches = true;
  /** A launch was chosen: who did it once needs no hint. */
  #isLaunched = false;
  #drawn: Position[] | null = null;
  /** Where the launch was before a click that may be the first half of a double click. */
  #clicked = 0;
  #beforeClick: Pick<Plan, "lat" | "lon" | "alt"> | null = null;
  /** The last thing done to the map was a click or a tap. */
  #isPointing = false;
  #fitBounds: (() => L.LatLngBounds | null) | null = null;

  constructor(root: HTMLElement, hint: HTMLElement, state: PlanState) {
    this.#state = state;
    this.#hint = hint;
    const { plan } = state;
    this.map = leafletMap(root, plan, 8, 140, {
      renderer: this.renderer,
      maxBoundsViscosity: 0.8,
      doubleClickZoom: false,
    });
    this.bases = new BaseMaps(this.map, toast);
    this.bases.setTheme(theme());
    onTheme((now) => {
      this.bases.setTheme(now);
      this.#drawZone();
    });
    this.#addToolbar();

    this.#launch = L.marker([plan.lat, wrap(plan.lon)], {
      draggable: true,
      autoPan: true,
      icon: pin("launch-pin"),
      title: "Launch: drag to move",
      alt: "Launch",
      zIndexOffset: 1000,
    }).addTo(this.map);
    this.#launch.on("dragend", () => this.#setLaunch(this.#launch.getLatLng()));
    this.#target = L.marker([0, 0], {
      icon: pin("target-pin"),
      title: "Distances are measured from here",
      interactive: false,
      keyboard: false,
    });
    this.#wind = L.marker([0, 0], {
      icon: pin("wind-pin"),
      title: "Wind is shown for here",
      interactive: false,
      keyboard: false,
    });
    this.#zone.addTo(this.map);

    this.map.on("click", (event) => {
      this.#isPointing = true;
      const { lat, lon, alt } = this.#state.plan;
      const { detail, timeStamp } = event.originalEvent;
      if (detail < 2 && timeStamp - this.#clicked > DOUBLE_TAP_MS) this.#beforeClick = { lat, lon, alt };
      this.#clicked = timeStamp;
      this.#act(pointed(this.map, event));
    });
    this.map.on("dblclick", (event) => {
      if (this.#drawn) {
        this.#finishZone();
        return;
      }
      // Its first click was none of its own.
      if (this.#beforeClick) this.#state.change(this.#beforeClick);
      this.map.setZoomAround(event.latlng, this.map.getZoom() + 1);
    });
    root.addEventListener("keydown", (event) => this.#onKey(event));
    root.setAttribute(
      "aria-label",
      "Map; arrow keys move it, plus and minus zoom, Enter acts at the cross in the middle",
    );
    root.append(h("div", { class: "cross", "aria-hidden": "true" }));
    state.onChange((changed) => this.#onPlan(changed));
    this.#onPlan(new Set(["target", "zone", "mode"]));
    this.#showHint();
    new ResizeObserver(() => {
      if (printing.matches) return;
      this.map.invalidateSize({ pan: false });
      const { style } = document.documentElement;
      style.setProperty("--map-width", `${root.clientWidth}px`);
      style.setProperty("--map-height", `${root.clientHeight}px`);
      style.setProperty("--map-zoom", String(PAPER_PX / root.clientWidth));
    }).observe(root);
  }

  get bounds(): L.LatLngBounds {
    return this.map.getBounds();
  }

  get tool(): Tool | null {
    return this.#tool;
  }

  /** Whether a click without a tool sets the launch: so while the plan is made, not while a result is read. */
  set clickLaunches(yes: boolean) {
    this.#clickLaunches = yes;
    this.#showHint();
  }

  /** What "show everything" shows. */
  set everything(bounds: (() => L.LatLngBounds | null) | null) {
    this.#fitBounds = bounds;
  }

  showAll(): void {
    // Charts that have just come take some of its room.
    this.map.invalidateSize({ pan: false });
    const bounds = this.#fitBounds?.() ?? null;
    if (bounds?.isValid())
      this.map.fitBounds(bounds, {
        maxZoom: 13,
        animate: false,
        paddingTopLeft: [24, 56],
        paddingBottomRight: [64, 40],
      });
    else this.map.setView(this.#launch.getLatLng(), 8, { animate: false });
  }

  choose(tool: Tool | null): void {
    if (this.#drawn && tool !== "zone") this.#cancelZone();
    this.#tool = tool;
    this.#isPointing = false;
    if (tool === "zone") {
      this.#drawn = [];
      this.#drawZone();
    }
    for (const [name, button] of this.#buttons) button.setAttribute("aria-pressed", String(name === tool));
    this.map.getContainer().classList.toggle("tool", tool !== null);
    this.#showHint();
    // Where Enter and the arrow keys act.
    if (tool) this.map.getContainer().focus({ preventScroll: true });
  }

  showWindPin(place: Position | null): void {
    if (place) this.#wind.setLatLng([place.lat, nearest(place.lon, this.map.getCenter().lng)]).addTo(this.map);
    else this.#wind.remove();
  }

  /** Coordinates of the plan, longitudes near the launch. */
  near(place: Position): L.LatLngTuple {
    return [place.lat, nearest(place.lon, this.#launch.getLatLng().lng)];
  }

  #act(at: L.LatLng): void {
    const place = { lat: at.lat, lon: at.lng };
    if (Math.abs(place.lat) > 90) return;
    switch (this.#tool) {
      case "wind":
        this.choose(null);
        this.onWind({ lat: place.lat, lon: wrap(place.lon) });
        break;
      case "target":
        this.choose(null);
        this.#state.change({ target: { lat: rounded(place.lat), lon: rounded(wrap(place.lon)) } });
        break;
      case "zone":
        this.#addCorner(place);
        break;
      case "launch":
        this.choose(null);
        this.#setLaunch(at);
        break;
      default:
        if (this.#clickLaunches) {
          this.#setLaunch(at);
        }
    }
  }

  #setLaunch(at: L.LatLng): void {
    this.#state.change({ lat: rounded(Math.max(-90, Math.min(90, at.lat))), lon: rounded(wrap(at.lng)), alt: null });
  }

  #onPlan(changed: ReadonlySet<keyof Plan>): void {
    const { plan } = this.#state;
    if (changed.has("lat") || changed.has("lon")) {
      this.#isLaunched = true;
      this.#showHint();
      const before = this.#launch.getLatLng();
      const at = L.latLng(plan.lat, wrap(plan.lon));
      // Marker and results keep to the first copy of the world; who panned round it is taken back without a jump.
      const centre = this.map.getCenter();
      const turns = Math.round((centre.lng - at.lng) / 360);
      if (turns) this.map.setView([centre.lat, centre.lng - 360 * turns], this.map.getZoom(), { animate: false });
      this.#launch.setLatLng(at);
      if (!before.equals(at) && !this.bounds.contains(at)) this.map.setView(at, Math.max(this.map.getZoom(), 6));
    }
    if (changed.has("mode")) this.#buttons.get("target")!.hidden = plan.mode !== "sweep";
    if (changed.has("target") || changed.has("mode") || changed.has("lon")) {
      if (plan.target && plan.mode === "sweep") this.#target.setLatLng(this.near(plan.target)).addTo(this.map);
      else this.#target.remove();
    }
    if (changed.has("zone") || changed.has("lon")) this.#drawZone();
  }

  // The zone

  #addCorner(place: Position): void {
    const corners = this.#drawn ?? [];
    const first = corners[0];
    if (first && corners.length > 2) {
      const distance = this.map
        .latLngToContainerPoint([first.lat, nearest(first.lon, place.lon)])
        .distanceTo(this.map.latLngToContainerPoint([place.lat, place.lon]));
      if (distance < 2 * TOLERANCE_PX) {
        this.#finishZone();
        return;
      }
    }
    const last = corners.at(-1);
    // The second click of a double click is no corner.
    if (last && last.lat === rounded(place.lat) && last.lon === rounded(wrap(place.lon))) return;
    corners.push({ lat: rounded(place.lat), lon: rounded(wrap(place.lon)) });
    this.#drawn = corners;
    this.#drawZone();
    this.#showHint();
  }

  #finishZone(): void {
    const corners = this.#drawn ?? [];
    this.#drawn = null;
    if (corners.length > 2) this.#state.change({ zone: corners });
    this.choose(null);
    this.#drawZone();
  }

  #cancelZone(): void {
    this.#drawn = null;
    this.#drawZone();
  }

  #drawZone(): void {
    this.#zone.clearLayers();
    const corners = this.#drawn ?? this.#state.plan.zone;
    if (!corners.length) return;
    const lons = unroll(
      corners.map((corner) => corner.lon),
      this.#launch.getLatLng().lng,
    );
    const outline = corners.map((corner, i): L.LatLngTuple => [corner.lat, lons[i]!]);
    const style = { className: "zone", color: cssColour("--zone"), weight: 2, dashArray: "6 4", interactive: false };
    if (this.#drawn) {
      this.#zone.addLayer(L.polyline(outline, style));
      for (const corner of outline)
        this.#zone.addLayer(L.circleMarker(corner, { ...style, radius: 4, fillOpacity: 1 }));
    } else {
      this.#zone.addLayer(L.polygon(outline, { ...style, fillOpacity: 0.08 }));
    }
  }

  // Keys, hints and buttons

  #onKey(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.#tool) this.choose(null);
    else if (event.key === "Backspace" && this.#drawn?.length) {
      this.#drawn.pop();
      this.#drawZone();
      this.#showHint();
    } else if (event.key === "Enter" && event.target === this.map.getContainer()) {
      const centre = this.map.getCenter();
      const last = this.#drawn?.at(-1);
      // Who draws with a pointer ends with the key, once there are corners enough.
      if (this.#isPointing && this.#drawn?.length) {
        if (this.#drawn.length > 2) this.#finishZone();
      }
      // Twice at the same place ends a zone.
      else if (last && last.lat === rounded(centre.lat) && last.lon === rounded(wrap(centre.lng))) this.#finishZone();
      else this.#act(centre);
    } else return;
    event.preventDefault();
  }

  #showHint(): void {
    let text = "";
    if (this.#tool === "zone") {
      const count = this.#drawn?.length ?? 0;
      text =
        count < 3 ? `${CLICK} the corners of the landing zone` : `${CLICK} the first corner again to close the zone`;
    } else if (this.#tool) text = TOOLS[this.#tool].hint;
    else if (this.#clickLaunches && !this.#isLaunched) text = TOOLS.launch.hint;
    this.#hint.replaceChildren(text, ...this.#hintButtons());
    this.#hint.hidden = !text;
    this.#hint.classList.toggle("active", this.#tool !== null);
  }

  #hintButtons(): HTMLElement[] {
    if (!this.#tool) return [];
    const buttons = [h("button", { type: "button", onclick: () => this.choose(null) }, "Cancel")];
    if ((this.#drawn?.length ?? 0) > 2) {
      buttons.unshift(h("button", { type: "button", onclick: () => this.#finishZone() }, "Finish"));
    }
    return buttons;
  }

  #addToolbar(): void {
    const bar = h("div", { class: "leaflet-bar tools", role: "toolbar", "aria-label": "Map tools" });
    for (const [name, tool] of Object.entries(TOOLS) as [Tool, (typeof TOOLS)[Tool]][]) {
      const onclick = () => this.choose(this.#tool === name ? null : name);
      const button = h(
        "button",
        { type: "button", "aria-label": tool.label, title: tool.label, "aria-pressed": "false", onclick },
        icon(tool.icon),
      );
      this.#buttons.set(name, button);
      bar.append(button);
    }
    const all = "Show everything";
    bar.append(
      h("button", { type: "button", "aria-label": all, title: all, onclick: () => this.showAll() }, icon("fit")),
    );
    this.#control("topright", bar);

    const select = h(
      "select",
      { class: "base", "aria-label": "Base map", title: "Base map" },
      ...Object.entries(BASES).map(([name, { label }]) => h("option", { value: name }, label)),
    );
    const isBase = (value: unknown) => typeof value === "string" && Object.hasOwn(BASES, value);
    const chosen = stored<BaseName>("base", isBase, "builtin");
    select.value = chosen;
    this.bases.show(chosen);
    select.addEventListener("change", () => {
      this.bases.show(select.value as BaseName);
      store("base", select.value);
    });
    this.#control("bottomleft", select);
  }

  #control(position: L.ControlPosition, element: HTMLElement): void {
    L.DomEvent.disableClickPropagation(element);
    L.DomEvent.disableScrollPropagation(element);
    const control = new L.Control({ position });
    control.onAdd = () => element;
    control.addTo(this.map);
  }
}
