// One path editor on the page: its element, what it shows, and how its path is changed. Pointer and keys: controls.mjs; drawing: draw.mjs.

import { GridView } from "../shared/grid_view.mjs";
import { themeColors } from "../shared/theme.mjs";
import { shownCells } from "./blend.mjs";
import { stretchedPath, timeline } from "./camera_path.mjs";
import { listen } from "./controls.mjs";
import { drawEditor } from "./draw.mjs";
import { allowedNumber, loopedPath, removedPoint, withPoint } from "./edit.mjs";
import { parsePath, pathText } from "./path_text.mjs";
import { editorAreas } from "./plane.mjs";
import { FIRST, presetPath } from "./presets.mjs";
import { Thumbnails } from "./thumbnails.mjs";
import { makeToolbar } from "./toolbar.mjs";

const LABEL = "Path editor: Page Up and Page Down select a point, arrow keys move it, Insert and Delete add and remove points, space plays";
const EMPTY_ASPECT = 16 / 9; // of a cell before there is a grid

export class PathView extends GridView {
  /** host: loadPicture(file, grid, signal) -> Promise of a picture; readPath() -> text; writePath(text): one step of the host's undo; hasGrid(): whether one is connected. */
  constructor(host) {
    super(host, { name: "path", label: LABEL });
    this.path = this.draft = this.line = null;
    this.problem = this.trouble = "";
    this.selected = -1;
    this.frame = 0;
    this.playing = null; // {since, from} while it plays
    this.drawing = false; // whether a press on the plane draws a line by hand
    this.hovered = this.pen = null;
    this.toolbar = makeToolbar(this, this.closing.signal);
    this.element.append(...this.toolbar.elements);
    this.thumbnails = new Thumbnails();
    listen(this, this.closing.signal);
    this.restore();
  }

  /** Show what nodes/path.py sent: the grid to draw on. */
  show(sent) {
    if (sent.id === this.grid?.id && this.pictures.failed.size === 0) return;
    if (this.takeGrid(sent)) this.restore();
  }

  /** The widget's text has come or changed. */
  restore() {
    const text = this.host.readPath();
    if (text === this.text && this.grid?.id === this.planeOf) return;
    [this.text, this.planeOf, this.draft, this.path, this.problem] = [text, this.grid?.id, null, null, ""];
    try {
      this.path = parsePath(text);
      if (this.grid) this.path = stretchedPath(this.path, this.grid);
    } catch (error) {
      this.problem = error.message;
    }
    this.selected = Math.min(this.selected, (this.path?.points.length ?? 0) - 1);
    this.changed();
  }

  tell(text) {
    this.trouble = text;
    this.drawSoon();
  }

  get shape() {
    const { views, times } = this.grid ?? this.path ?? FIRST;
    return { views, times };
  }

  /** The path as it is drawn right now, also while it is being changed. */
  get shown() {
    return this.draft ?? this.path;
  }

  /** Show a path that is not yet meant: while a point is dragged. null: as it was. */
  setDraft(path) {
    this.draft = path;
    this.changed();
  }

  /** Take a path over into the widget. */
  commit(path) {
    this.draft = null;
    if (!path) return this.changed();
    const text = pathText(path);
    this.path = path;
    this.problem = "";
    if (text !== this.host.readPath()) this.host.writePath(text);
    [this.text, this.planeOf] = [text, this.grid?.id];
    this.changed();
  }

  changed() {
    const path = this.shown;
    this.line = path && timeline(path, this.shape);
    this.cells = this.line ? shownCells(this.line.positions) : new Map();
    this.selected = Math.min(this.selected, (path?.points.length ?? 0) - 1);
    this.frame = Math.min(this.frame, Math.max((this.line?.positions.length ?? 1) - 1, 0));
    this.rested();
  }

  select(index) {
    this.selected = index;
    this.drawSoon();
  }

  /** Remove the chosen point. */
  remove() {
    if (!this.path || this.selected < 0) return;
    this.commit(removedPoint(this.path, this.selected));
  }

  /** Choose a preset; where the widget's text could not be read, this starts anew. */
  preset(name) {
    this.selected = -1;
    this.commit(presetPath(name, { ...FIRST, ...this.path, ...this.shape }));
  }

  setDrawing(drawing) {
    this.drawing = drawing;
    this.element.classList.toggle("drawing", drawing);
    this.drawSoon();
  }

  /** A number that was typed: of the chosen point, or of the path. What is no number changes nothing. */
  setNumber(name, typed, ofPoint) {
    const { path, selected } = this;
    const value = path && allowedNumber(name, typed, path, selected);
    if (value === null) return this.drawSoon();
    if (ofPoint) return this.commit(withPoint(path, selected, { [name]: value }));
    const onOther = name === "views" || name === "times";
    this.commit(onOther ? stretchedPath(path, { views: path.views, times: path.times, [name]: value }) : { ...path, [name]: value });
  }

  setChoice(name, value) {
    if (!this.path) return;
    if (name === "ease") this.commit(withPoint(this.path, this.selected, { ease: value }));
    else this.commit(name === "loop" ? loopedPath(this.path, value) : { ...this.path, [name]: value });
  }

  togglePlay() {
    if (!this.line) return;
    this.playing = this.playing ? null : { since: performance.now(), from: this.frame };
    this.rested();
  }

  /** Stop at a frame. */
  showFrame(frame) {
    if (!this.line) return;
    const { length } = this.line.positions;
    this.playing = null;
    this.frame = ((frame % length) + length) % length;
    this.rested();
  }

  /** Stop at the frame that is nearest to a point of the path. */
  showPoint(index) {
    if (this.playing || !this.line) return;
    const { view, time } = this.line.legs[index]?.places[0] ?? this.line.legs.at(-1).places.at(-1);
    const far = this.line.positions.map((place) => Math.abs(place.view - view) + Math.abs(place.time - time));
    this.showFrame(far.indexOf(Math.min(...far)));
  }

  step(now) {
    if (!this.playing || !this.line) return false;
    const steps = Math.floor((Math.max(now - this.playing.since, 0) / 1000) * this.shown.fps + 1e-6);
    this.frame = (this.playing.from + steps) % this.line.positions.length;
    return true;
  }

  areas() {
    const aspect = this.grid ? this.grid.width / this.grid.height : EMPTY_ASPECT;
    return editorAreas(this.surface.measure().size, this.shape, aspect);
  }

  draw() {
    this.showText();
    const ready = this.surface.prepare();
    if (!ready) return;
    const { shape, line, cells, frame, selected, hovered, pen, grid, thumbnails, allFit } = this;
    const full = drawEditor(ready.ctx, {
      shape, line, frame, selected, hovered, pen, grid, thumbnails, allFit, path: this.shown, shown: cells, areas: this.areas(), pixelRatio: ready.pixelRatio, connected: this.host.hasGrid(),
      colors: themeColors(this.element), picture: (file, want) => this.pictures.get(file, want), sharp: this.sharp || (Boolean(this.playing) && allFit),
    });
    const small = grid && line && this.pictures.get(grid.overview.file, false);
    this.element.dataset.shown = !small ? "" : full ? "full" : "small";
  }

  showText() {
    const { line, frame, grid } = this;
    const place = line?.positions[frame];
    const count = (value) => Number((value + 1).toFixed(2)); // artists count from 1
    const text = place ? `frame ${frame + 1}/${line.positions.length}  view ${count(place.view)}  time ${count(place.time)}` : "";
    if (place) Object.assign(this.element.dataset, { frame, view: place.view, time: place.time });
    this.element.dataset.state = this.draft || this.pen ? "drag" : this.playing ? "play" : "rest";
    const message = this.problem || this.trouble;
    if (this.message.textContent !== message) this.message.textContent = message;
    this.toolbar.show({ path: this.shown, selected: this.selected, playing: Boolean(this.playing), drawing: this.drawing, hasGrid: Boolean(grid), text });
  }

  close() {
    super.close();
    this.thumbnails.close();
    this.line = this.playing = null;
  }
}
