// Pointer and wheel of a player. Keys: keys.mjs.

import { axes, contains, fitted } from "../shared/areas.mjs";
import { listenToCanvas } from "../shared/canvas_input.mjs";
import { wheelTimes } from "../shared/wheel.mjs";
import { onWipe } from "../shared/wipe.mjs";
import { compared } from "./layers.mjs";
import { isMarked, withMark } from "./marks.mjs";
import { openPlayerMenu } from "./menu_items.mjs";
import { dragged, releaseSpeed } from "./motion.mjs";
import { cellUnder, partUnder, tileAt } from "./stage.mjs";
import { isWhole, panned, toPicture, WHOLE, zoomed } from "./zoom.mjs";

const CLICK_PIXELS = 4;

/** Listen until `signal` aborts. */
export const listenToPointer = (player, signal) => listenToCanvas(player, new Pointer(player), signal);

/** One pointer at a time; what it does is decided where it goes down. */
class Pointer {
  constructor(player) {
    this.player = player;
    this.use = null; // {id, kind, start, from, samples, ...} while pressed
  }

  get pans() {
    return this.use?.kind === "pan";
  }

  menu(place) {
    const { player } = this;
    if (!player.grid) return false;
    player.used();
    openPlayerMenu(player, place);
    return true;
  }

  down(event) {
    const { player } = this;
    if (this.use || !player.grid) return;
    const start = player.surface.point(event);
    const kind = this.kindOf(event, start);
    if (!kind) return;
    event.preventDefault();
    if (kind === "pan") event.stopPropagation();
    player.used();
    player.element.focus({ preventScroll: true });
    player.canvas.setPointerCapture(event.pointerId);
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

  /** What a press does, or null where it is none of the player's. */
  kindOf(event, point) {
    const areas = this.player.areas();
    if (event.button === 1) return contains(areas.picture, point) ? "pan" : null;
    if (event.button !== 0) return null;
    if (this.onWipe(point)) return "wipe";
    for (const name of ["acrossStrip", "downStrip"]) if (contains(areas[name], point)) return name;
    if (this.player.marking) return "mark";
    if (contains(areas.map, point)) return "map";
    return event.shiftKey && areas.map ? "slit" : "drag";
  }

  /** Whether a point is on the wipe line of the picture under it. */
  onWipe(point) {
    const { player } = this;
    const tile = compared(player.settings, player.overlays.compare) === "wipe" && player.tileAt(point);
    return Boolean(tile) && onWipe(tile.area, point, player.settings.wipe);
  }

  move(event) {
    const { player, use } = this;
    const point = this.player.surface.point(event);
    if (!use) return this.hover(event, point);
    if (event.pointerId !== use.id) return;
    if (use.kind === "pan") this.pan(event, point);
    use.at = point;
    if (use.kind !== "drag") return this.apply(point);
    const moved = { x: point.x - use.start.x, y: point.y - use.start.y };
    player.moveTo(dragged(use.from, moved, player.areas().picture, player.grid, player.settings.swap));
    this.sample(event);
  }

  pan(event, point) {
    const { player, use } = this;
    event.stopPropagation();
    const tile = player.tileAt(use.start);
    if (!tile) return;
    player.setPart(panned(player.part, { x: (point.x - use.at.x) / tile.area.width, y: (point.y - use.at.y) / tile.area.height }));
  }

  /** Over the picture the wheel is the player's, even where it can zoom no further: the graph must not jump. */
  wheel(event) {
    const { player } = this;
    const point = player.surface.point(event);
    if (!player.grid || !contains(player.areas().picture, point)) return;
    event.preventDefault();
    event.stopPropagation();
    const tile = player.tileAt(point);
    if (!tile) return;
    const { area } = tile;
    player.setPart(zoomed(player.part, wheelTimes(event), { x: (point.x - area.x) / area.width, y: (point.y - area.y) / area.height }));
  }

  doubleClick() {
    if (!isWhole(this.player.part)) this.player.setPart(WHOLE);
  }

  sample(event) {
    const { samples } = this.use;
    samples.push({ at: event.timeStamp, ...this.player.position });
    if (samples.length > 32) samples.shift();
  }

  hover(event, point) {
    const { player } = this;
    player.canvas.classList.toggle("on-wipe", Boolean(player.grid) && this.onWipe(point));
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
    if (use.kind === "wipe") this.moveWipe(point);
    if (use.kind === "mark") this.mark(this.cellOf(areas, point));
  }

  moveSlit(area, point) {
    const { player } = this;
    const place = fitted(area, player.grid.width / player.grid.height);
    player.set("slit", toPicture(player.part, { x: (point.x - place.x) / place.width, y: (point.y - place.y) / place.height }));
  }

  /** The line follows in the picture in which it was grasped, and is at the same place in all. */
  moveWipe(point) {
    const { player, use } = this;
    use.area ??= player.tileAt(use.start).area;
    player.set("wipe", (point.x - use.area.x) / use.area.width);
  }

  /** The cell that a point of the picture or the map shows. */
  cellOf(areas, point) {
    const { grid, settings } = this.player;
    if (contains(areas.map, point)) return cellUnder(areas.map, point, grid, settings.swap);
    return this.player.tileAt(point)?.cell ?? null;
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
    if (use.kind === "pan") event.stopPropagation();
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
