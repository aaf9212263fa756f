// Pointer and keys of a player.

import { axes, contains, fitted } from "../shared/areas.mjs";
import { viewTiles } from "./draw.mjs";
import { isMarked, withMark } from "./marks.mjs";
import { dragged, keyCell, nextCell, releaseSpeed } from "./motion.mjs";
import { cellUnder, partUnder } from "./stage.mjs";

const CLICK_PIXELS = 4;
const LAYOUT_KEYS = { 1: "one", 2: "views", 3: "cells" };
const SHUTTLE_KEYS = { j: -1, l: 1 }; // play backwards, forwards
const STEP_KEYS = { ",": -1, ".": 1 };
const SWITCH_KEYS = { p: "pingPong", s: "strips", h: "hover", x: "swap" };

/** Listen until `signal` aborts. */
export function listen(player, signal) {
  const pointer = new Pointer(player);
  const on = (name, handle, options) => player.canvas.addEventListener(name, handle, { signal, ...options });
  on("pointerdown", (event) => pointer.down(event));
  on("pointermove", (event) => pointer.move(event));
  on("pointerup", (event) => pointer.up(event));
  on("pointercancel", () => pointer.cancel());
  on("lostpointercapture", () => pointer.cancel());
  on("pointerenter", () => player.drawSoon()); // the page's zoom may have changed
  player.element.addEventListener("keydown", (event) => key(player, event), { signal });
}

/** One pointer at a time; what it does is decided where it goes down. */
class Pointer {
  constructor(player) {
    this.player = player;
    this.use = null; // {id, kind, start, from, samples, ...} while pressed
  }

  down(event) {
    const { player } = this;
    if (event.button !== 0 || this.use || !player.grid) return;
    event.preventDefault();
    player.used();
    player.element.focus({ preventScroll: true });
    player.canvas.setPointerCapture(event.pointerId);
    const start = this.player.surface.point(event);
    const kind = this.kindOf(event, start);
    this.use = { id: event.pointerId, kind, start, at: start, from: { ...player.position }, samples: [], adding: null };
    if (kind === "mark") player.host.beginChange(); // however many cells are dragged over: one step of undo
    player.dragging = true;
    player.movingSlit = kind === "slit";
    player.canvas.classList.add("dragging");
    if (kind === "drag") {
      player.moveTo(player.position);
      this.sample(event);
    } else this.apply(start);
  }

  kindOf(event, point) {
    const areas = this.player.areas();
    for (const name of ["acrossStrip", "downStrip"]) if (contains(areas[name], point)) return name;
    if (this.player.marking) return "mark";
    if (contains(areas.map, point)) return "map";
    return event.shiftKey && areas.map ? "slit" : "drag";
  }

  move(event) {
    const { player, use } = this;
    const point = this.player.surface.point(event);
    if (!use) return this.hover(event, point);
    if (event.pointerId !== use.id) return;
    use.at = point;
    if (use.kind !== "drag") return this.apply(point);
    const moved = { x: point.x - use.start.x, y: point.y - use.start.y };
    player.moveTo(dragged(use.from, moved, player.areas().picture, player.grid, player.settings.swap));
    this.sample(event);
  }

  sample(event) {
    const { samples } = this.use;
    samples.push({ at: event.timeStamp, ...this.player.position });
    if (samples.length > 32) samples.shift();
  }

  hover(event, point) {
    const { player } = this;
    if (!player.grid || !player.settings.hover || event.pointerType === "touch" || player.playing) return;
    const { picture } = player.areas();
    if (contains(picture, point)) player.moveTo(cellUnder(picture, point, player.grid, player.settings.swap));
  }

  /** What pressing or dragging at a point does, beside moving through the grid by dragging. */
  apply(point) {
    const { player, use } = this;
    const areas = player.areas();
    const { across, down } = axes(player.settings.swap);
    if (use.kind === "acrossStrip") player.moveTo({ ...player.cell, [across]: partUnder(areas.acrossStrip, point, player.grid[across + "s"], true) });
    if (use.kind === "downStrip") player.moveTo({ ...player.cell, [down]: partUnder(areas.downStrip, point, player.grid[down + "s"], false) });
    if (use.kind === "map") player.moveTo(cellUnder(areas.map, point, player.grid, player.settings.swap));
    if (use.kind === "slit") this.moveSlit(areas.picture, point);
    if (use.kind === "mark") this.mark(this.cellOf(areas, point));
  }

  moveSlit(area, point) {
    const { player } = this;
    const place = fitted(area, player.grid.width / player.grid.height);
    player.set("slit", { x: (point.x - place.x) / place.width, y: (point.y - place.y) / place.height });
  }

  /** The cell that a point of the picture or the map shows. */
  cellOf(areas, point) {
    const { player } = this;
    const { grid, settings, cell } = player;
    if (contains(areas.map, point)) return cellUnder(areas.map, point, grid, settings.swap);
    if (settings.layout === "cells") return cellUnder(areas.picture, point, grid, settings.swap, grid.width / grid.height);
    if (settings.layout === "one") return cell;
    const under = viewTiles(player.scene(areas)).find(({ area }) => contains(area, point));
    return under ? { view: under.view, time: cell.time } : null;
  }

  /** Dragging marks or unmarks, as the first cell under the pointer decides. */
  mark(cell) {
    if (!cell) return;
    const { player, use } = this;
    use.adding ??= !isMarked(player.marks, cell);
    player.setMarks(withMark(player.marks, cell, use.adding));
    player.moveTo(cell);
  }

  up(event) {
    const { player, use } = this;
    if (!use || event.pointerId !== use.id) return;
    const far = Math.hypot(use.at.x - use.start.x, use.at.y - use.start.y);
    this.end();
    if (use.kind !== "drag") return player.drawSoon();
    if (far >= CLICK_PIXELS) return player.release(releaseSpeed(use.samples, event.timeStamp));
    const cell = player.settings.layout === "one" ? null : this.cellOf(player.areas(), use.start);
    player.moveTo(cell ?? player.cell);
  }

  cancel() {
    if (!this.use) return;
    this.end();
    if (this.player.grid) this.player.moveTo(this.player.cell);
  }

  end() {
    if (this.use.kind === "mark") this.player.host.endChange();
    this.use = null;
    this.player.dragging = this.player.movingSlit = false;
    this.player.canvas.classList.remove("dragging");
  }
}

/** Handled keys stay here: the host would delete the node, or start something, on some of them. */
function key(player, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !player.grid) return;
  if (event.target.tagName === "SELECT") return event.stopPropagation(); // its own keys
  if (event.target !== player.element && (event.key === " " || event.key === "Enter")) return; // a button's own keys
  if (!keyDone(player, event.key)) return;
  player.used();
  event.preventDefault();
  event.stopPropagation();
}

function keyDone(player, name) {
  const { grid, cell, settings } = player;
  const letter = name.toLowerCase();
  const to = keyCell(name, cell, grid, settings.swap);
  if (to) player.moveTo(to);
  else if (name === " ") player.togglePlay();
  else if (SHUTTLE_KEYS[letter]) player.play(SHUTTLE_KEYS[letter]);
  else if (letter === "k") player.moveTo(cell);
  else if (STEP_KEYS[name]) player.moveTo(nextCell(cell, STEP_KEYS[name], settings.play, settings.pingPong, grid));
  else if (letter === "m") player.setMarks(withMark(player.marks, cell, !isMarked(player.marks, cell)));
  else if (name === "Delete" || name === "Backspace") player.setMarks(withMark(player.marks, cell, false));
  else if (letter === "f") player.toggleFullscreen();
  else if (LAYOUT_KEYS[name]) player.set("layout", LAYOUT_KEYS[name]);
  else if (SWITCH_KEYS[letter]) player.set(SWITCH_KEYS[letter]);
  else return false;
  return true;
}
