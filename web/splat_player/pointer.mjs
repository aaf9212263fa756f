// Pointer and wheel of a splat player. Keys: keys.mjs.

import { contains } from "../shared/areas.mjs";
import { listenToCanvas } from "../shared/canvas_input.mjs";
import { openMenu } from "../shared/menu.mjs";
import { wheelTimes } from "../shared/wheel.mjs";
import { onWipe } from "../shared/wipe.mjs";
import { cameraAt, nearestOnMap } from "./camera_path.mjs";

const CLICK_PIXELS = 4;
const TURN = Math.PI; // radians for the width of the picture

/** Listen until `signal` aborts. */
export const listenToPointer = (player, signal) => listenToCanvas(player, new Pointer(player), signal);

/** One pointer turns or pulls; two fingers pull and zoom. What a pointer does is decided where it goes down. */
class Pointer {
  constructor(player) {
    this.player = player;
    this.use = null; // {id, kind, start, at} of the first pointer that is down
    this.second = null; // {id, at} of another finger
  }

  get pans() {
    return this.use?.kind === "pull";
  }

  menu(place) {
    const { player } = this;
    if (!player.splats) return false;
    player.used();
    openMenu(player.element, place, [
      { label: "Save frame (PNG)", run: () => player.saving.saveFrame() },
      { label: "Copy frame", run: () => player.saving.copyFrame() },
      null,
      { label: "Snap to the nearest view", key: "R", run: () => player.goTo(null) },
      { label: player.settings.cameras ? "Hide cameras" : "Show cameras", key: "C", run: () => player.set("cameras") },
    ]);
    return true;
  }

  doubleClick() {
    this.player.goTo(null);
  }

  down(event) {
    const { player } = this;
    if (!player.splats) return;
    const at = player.surface.point(event);
    if (this.use) return this.addFinger(event, at);
    const kind = this.kindOf(event, at);
    if (!kind) return;
    event.preventDefault();
    if (kind === "pull") event.stopPropagation();
    player.used();
    player.element.focus({ preventScroll: true });
    player.canvas.setPointerCapture(event.pointerId);
    this.use = { id: event.pointerId, kind, start: at, at };
    player.dragging = true;
    player.canvas.classList.add("dragging");
    if (kind === "wipe") this.moveWipe(at);
    player.drawSoon();
  }

  addFinger(event, at) {
    if (this.second || event.pointerType !== "touch") return;
    this.player.canvas.setPointerCapture(event.pointerId);
    this.second = { id: event.pointerId, at };
  }

  kindOf(event, point) {
    const { picture } = this.player.areas();
    if (!contains(picture, point)) return null;
    if (event.button === 1 || (event.button === 0 && event.shiftKey)) return "pull";
    if (event.button !== 0) return null;
    return this.onWipe(point) ? "wipe" : "turn";
  }

  onWipe(point) {
    const { player } = this;
    return player.compared === "wipe" && onWipe(player.areas().picture, point, player.settings.wipe);
  }

  move(event) {
    const { player, use, second } = this;
    const point = player.surface.point(event);
    if (!use) return this.hover(point);
    if (event.pointerId === second?.id) return this.pinch(second, use.at, point);
    if (event.pointerId !== use.id) return;
    if (second) return this.pinch(use, second.at, point);
    const moved = { x: point.x - use.at.x, y: point.y - use.at.y };
    if (use.kind === "pull") event.stopPropagation();
    if (use.kind === "turn" && use.at === use.start && Math.hypot(moved.x, moved.y) < CLICK_PIXELS) return; // perhaps a click
    use.at = point;
    const { width } = player.areas().picture;
    if (use.kind === "wipe") this.moveWipe(point);
    else if (use.kind === "pull") this.pull(moved);
    else player.orbit((-moved.x / width) * TURN, (moved.y / width) * TURN);
  }

  /** One of two fingers has moved: half of it pulls, and the distance to the other one zooms. */
  pinch(finger, other, point) {
    const apart = (place) => Math.max(Math.hypot(place.x - other.x, place.y - other.y), 1);
    this.pull({ x: (point.x - finger.at.x) / 2, y: (point.y - finger.at.y) / 2 });
    this.player.zoom(apart(point) / apart(finger.at));
    finger.at = point;
  }

  pull({ x, y }) {
    const cells = this.player.splats.width / this.player.areas().picture.width;
    this.player.pull({ x: x * cells, y: y * cells });
  }

  moveWipe(point) {
    const { picture } = this.player.areas();
    this.player.set("wipe", (point.x - picture.x) / picture.width);
  }

  hover(point) {
    const { player } = this;
    if (!player.splats) return;
    player.canvas.classList.toggle("on-wipe", this.onWipe(point));
    player.canvas.classList.toggle("on-camera", this.viewAt(point) !== null);
  }

  /** The view whose camera is drawn under a point, or null. */
  viewAt(point) {
    const { player } = this;
    const { seen, map } = player.path;
    if (map && contains(player.areas().map, point)) return nearestOnMap(map, point);
    return seen.length ? cameraAt(seen, point) : null;
  }

  up(event) {
    const { use } = this;
    if (event.pointerId !== use?.id) return this.cancel(event);
    if (use.kind === "pull") event.stopPropagation();
    const view = use.kind === "turn" && use.at === use.start ? this.viewAt(use.start) : null;
    this.cancel(event);
    if (view !== null) this.player.goTo(view);
  }

  cancel(event) {
    if (event.pointerId === this.second?.id) this.second = null;
    if (event.pointerId !== this.use?.id) return;
    this.use = this.second = null;
    this.player.dragging = false;
    this.player.canvas.classList.remove("dragging");
    this.player.rested();
  }

  wheel(event) {
    const { player } = this;
    if (!player.splats || !contains(player.areas().picture, player.surface.point(event))) return;
    event.preventDefault();
    event.stopPropagation();
    player.used();
    player.zoom(wheelTimes(event));
  }
}
