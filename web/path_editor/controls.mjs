// Pointer and keys of a path editor.

import { EASES, LOOPS } from "./camera_path.mjs";
import { allowedNumber, extendedPath, freehandPath, inPlane, insertedPoint, loopedPath, movedPoint, onOneAxis, removedPoint, simplified, snappedPlace, withPoint } from "./edit.mjs";
import { frameUnder, REACH, toPlace, under } from "./plane.mjs";

const CLICK_PIXELS = 4;
const PEN_PIXELS = 3; // a freehand line is kept to within this
const CURSORS = { point: "grab", line: "copy", plane: "crosshair", graph: "ew-resize", preview: "pointer" };
const STEP = { plain: 1, fine: 0.1 }; // cells per arrow key

/** Listen until `signal` aborts. */
export function listen(editor, signal) {
  const pointer = new Pointer(editor);
  const on = (name, handle) => editor.canvas.addEventListener(name, handle, { signal });
  on("pointerdown", (event) => pointer.down(event));
  on("pointermove", (event) => pointer.move(event));
  on("pointerup", (event) => pointer.up(event));
  on("pointercancel", () => pointer.cancel());
  on("lostpointercapture", () => pointer.cancel());
  on("pointerleave", () => pointer.leave());
  on("contextmenu", (event) => pointer.menu(event));
  editor.element.addEventListener("keydown", (event) => key(editor, event, pointer), { signal });
}

/** One pointer at a time; what it does is decided where it goes down. */
class Pointer {
  constructor(editor) {
    this.editor = editor;
    this.use = null; // {id, kind, start, index, from, ...} while pressed
  }

  /** What lies under a point, and the point. */
  find(event) {
    const { editor } = this;
    const point = editor.surface.point(event);
    const reach = REACH[event.pointerType] ?? REACH.mouse;
    return { point, ...under(point, { areas: editor.areas(), path: editor.shown, legs: editor.line?.legs, reach }) };
  }

  down(event) {
    const { editor } = this;
    if (event.button !== 0 || this.use || !editor.path) return;
    const found = this.find(event);
    if (!found.kind) return;
    event.preventDefault();
    editor.element.focus({ preventScroll: true });
    editor.canvas.setPointerCapture(event.pointerId);
    const onPlane = ["point", "line", "plane"].includes(found.kind);
    const kind = onPlane && editor.drawing ? "pen" : found.kind;
    this.use = { id: event.pointerId, kind, start: found.point, at: found.point };
    editor.hovered = null;
    if (kind === "pen") editor.pen = [found.point];
    else if (onPlane) this.take(found, event);
    else this.apply(event, found.point);
    editor.drawSoon();
  }

  /** Take hold of a point: the one that is there, or a new one. */
  take(found, event) {
    const { editor, use } = this;
    const { path } = editor;
    const place = this.place(found.point, event);
    if (found.kind === "point") Object.assign(use, { path, index: found.index });
    if (found.kind === "line") Object.assign(use, { path: insertedPoint(path, found.index, snappedPlace(found.place)), index: found.index + 1 });
    if (found.kind === "plane") {
      const atStart = editor.selected === 0 && path.points.length > 1;
      Object.assign(use, { path: extendedPath(path, place, atStart), index: atStart ? 0 : path.points.length });
    }
    use.index = Math.min(use.index, use.path.points.length - 1);
    const { view, time } = use.path.points[use.index];
    use.from = { view, time };
    editor.selected = use.index;
    if (found.kind !== "point") editor.setDraft(use.path);
    editor.showPoint(use.index);
  }

  /** The place under a pointer: on whole views and times unless Alt is held. */
  place(point, event) {
    const { editor } = this;
    const place = inPlane(toPlace(editor.areas().plane, editor.shape, point), editor.shape);
    return event.altKey ? place : snappedPlace(place);
  }

  move(event) {
    const { editor, use } = this;
    if (!use) return this.hover(event);
    if (event.pointerId !== use.id) return;
    use.at = editor.surface.point(event);
    if (use.kind === "pen") editor.pen = [...editor.pen, use.at];
    else this.apply(event, use.at);
    editor.drawSoon();
  }

  /** What pressing or dragging at a point does. */
  apply(event, point) {
    const { editor, use } = this;
    if (use.kind === "graph") return editor.showFrame(frameUnder(editor.areas().graph, point, editor.line.positions.length));
    if (use.kind === "preview" || this.isClick()) return;
    const place = this.place(point, event);
    editor.setDraft(movedPoint(use.path, use.index, event.shiftKey ? onOneAxis(use.from, place) : place));
    editor.showPoint(use.index);
  }

  isClick() {
    const { start, at } = this.use;
    this.use.far ||= Math.hypot(at.x - start.x, at.y - start.y) >= CLICK_PIXELS;
    return !this.use.far;
  }

  hover(event) {
    const { editor } = this;
    if (event.pointerType === "touch") return;
    const found = this.find(event);
    editor.canvas.style.cursor = editor.drawing && found.kind !== "graph" ? "crosshair" : (CURSORS[found.kind] ?? "default");
    const before = editor.hovered;
    editor.hovered = !editor.drawing && (found.kind === "point" || found.kind === "line") ? found : null;
    if (before || editor.hovered) editor.drawSoon();
  }

  leave() {
    if (!this.editor.hovered) return;
    this.editor.hovered = null;
    this.editor.drawSoon();
  }

  up(event) {
    const { editor, use } = this;
    if (!use || event.pointerId !== use.id) return;
    const click = this.isClick();
    this.use = null;
    if (use.kind === "pen") return this.endPen();
    if (use.kind === "preview" && click) return editor.togglePlay();
    if (editor.draft) editor.commit(editor.draft);
  }

  endPen() {
    const { editor } = this;
    const points = simplified(editor.pen, PEN_PIXELS);
    editor.pen = null;
    const { plane } = editor.areas();
    const places = points.map((point) => inPlane(toPlace(plane, editor.shape, point), editor.shape));
    if (points.length < 2) return editor.drawSoon();
    editor.selected = -1;
    editor.commit(freehandPath(editor.path, places));
    editor.setDrawing(false);
  }

  /** Leave everything as it was before the press. */
  cancel() {
    if (!this.use) return false;
    this.use = null;
    this.editor.pen = null;
    this.editor.setDraft(null);
    return true;
  }

  /** The right button removes a point. */
  menu(event) {
    const { editor } = this;
    const found = this.find(event);
    if (this.use || found.kind !== "point" || !editor.path) return;
    event.preventDefault();
    event.stopPropagation();
    editor.commit(removedPoint(editor.path, found.index));
  }
}

/** Handled keys stay here: the host would delete the node, or start something, on some of them. */
function key(editor, event, pointer) {
  if (event.ctrlKey || event.metaKey) return;
  if (event.target.tagName === "INPUT" && event.key === "Enter") editor.element.focus(); // what was typed counts, and undo is ComfyUI's again
  if (["INPUT", "SELECT"].includes(event.target.tagName)) return event.stopPropagation(); // their own keys
  if (event.target !== editor.element && (event.key === " " || event.key === "Enter")) return; // a button's own keys
  if (event.altKey || !keyDone(editor, event, pointer)) return;
  event.preventDefault();
  event.stopPropagation();
}

function keyDone(editor, { key: name, shiftKey }, pointer) {
  const arrow = { ArrowLeft: { time: -1 }, ArrowRight: { time: 1 }, ArrowUp: { view: -1 }, ArrowDown: { view: 1 } }[name];
  if (name === "Escape") return pointer.cancel() || leave(editor);
  if (pointer.use) return true; // nothing else while something is dragged
  if (!editor.path) return false;
  if (name.toLowerCase() === "d") editor.setDrawing(!editor.drawing);
  else if (arrow) arrowKey(editor, arrow, shiftKey ? STEP.fine : STEP.plain);
  else if (name === " ") editor.togglePlay();
  else if (name === "," || name === ".") editor.showFrame(editor.frame + (name === "," ? -1 : 1));
  else if (name === "Home" || name === "End") editor.showFrame(name === "Home" ? 0 : -1);
  else if (name === "PageUp" || name === "PageDown") selectNext(editor, name === "PageUp" ? -1 : 1);
  else if (name === "Delete" || name === "Backspace") editor.remove();
  else if (name === "Insert" || name === "+" || name.toLowerCase() === "i") insert(editor);
  else return pathKey(editor, name);
  return true;
}

/** Keys that change the chosen point, or the path. */
function pathKey(editor, name) {
  const { path, selected } = editor;
  const next = (list, value) => list[(list.indexOf(value) + 1) % list.length];
  const point = path.points[selected];
  if (name === "l") editor.commit(loopedPath(path, next(LOOPS, path.loop)));
  else if (point && name === "e") editor.commit(withPoint(path, selected, { ease: next(Object.keys(EASES), point.ease) }));
  else if (point && name === "r") editor.commit(withPoint(path, selected, { rounding: point.rounding ? 0 : 1 }));
  else if (point && (name === "h" || name === "H")) editor.commit(withPoint(path, selected, { hold: allowedNumber("hold", point.hold + (name === "h" ? 1 : -1), path, selected) }));
  else return false;
  return true;
}

function leave(editor) {
  if (!editor.drawing && editor.selected < 0) return false;
  if (editor.drawing) editor.setDrawing(false);
  else editor.select(-1);
  return true;
}

/** Arrows move the chosen point, to whole views and times; without one they step through the frames. */
function arrowKey(editor, arrow, step) {
  const { path, selected } = editor;
  if (selected < 0) return editor.showFrame(editor.frame + Math.sign(arrow.time ?? arrow.view));
  const { view, time } = path.points[selected];
  const onto = (value, by) => (by ? Math.round((value + by * step) / step) * step : value);
  const place = { view: onto(view, arrow.view), time: onto(time, arrow.time) };
  editor.commit(movedPoint(path, selected, place));
  editor.showPoint(selected);
}

function selectNext(editor, by) {
  const count = editor.path.points.length;
  const from = editor.selected < 0 && by < 0 ? 0 : editor.selected;
  editor.select((from + by + count) % count);
  editor.showPoint(editor.selected);
}

/** A point more in the middle of the way that starts from the chosen point, or of the last one. */
export function insert(editor) {
  const { path, line, selected } = editor;
  if (!path || path.points.length < 2) return;
  const leg = selected < 0 ? line.legs.length - 1 : Math.min(selected, line.legs.length - 1);
  const { places } = line.legs[leg];
  const [start, end] = [path.points[leg], path.points[(leg + 1) % path.points.length]];
  const middle = { view: (start.view + end.view) / 2, time: (start.time + end.time) / 2 };
  const inserted = insertedPoint(path, leg, places.length > 2 ? places[Math.floor(places.length / 2)] : middle);
  editor.selected = leg + 1;
  editor.commit(inserted);
  editor.showPoint(leg + 1);
}
