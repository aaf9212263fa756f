// One player on the page: its element, what it shows and what moves. Pointer and keys: controls.mjs; drawing: draw.mjs.

import { GridView } from "../shared/grid_view.mjs";
import { themeColors } from "../shared/theme.mjs";
import { listen } from "./controls.mjs";
import { drawScene } from "./draw.mjs";
import { marksInside, marksText, parseMarks } from "./marks.mjs";
import { cellAt, glide, glided, inside, playedCell } from "./motion.mjs";
import { parseSettings } from "./settings.mjs";
import { pictureAspect, stageAreas } from "./stage.mjs";
import { makeToolbar } from "./toolbar.mjs";

const LABEL = "Grid player: arrow keys move through times and views, space plays";
const EMPTY = "Run the workflow to see the grid here.";
const HINTS = { false: "Drag ↔ through time, ↕ through views", true: "Drag ↔ through views, ↕ through time" }; // by `swap`

let understood = false; // once a player of this page was used, none says how

export class PlayerView extends GridView {
  /**
   * host: loadPicture(file, grid, signal) -> Promise of a picture; readMarks() -> text; writeMarks(text); readSettings() -> object;
   * writeSettings(object); beginChange() and endChange() around what is one step of its undo.
   */
  constructor(host) {
    super(host, { name: "player", label: LABEL });
    this.settings = parseSettings(host.readSettings());
    this.position = { view: 0, time: 0 };
    this.motion = null; // {kind: "glide" | "play", since, ...}
    this.marking = this.dragging = this.movingSlit = false;
    this.build();
    listen(this, this.closing.signal);
    this.drawSoon();
  }

  build() {
    const { signal } = this.closing;
    this.message.textContent = EMPTY;
    this.hint = Object.assign(document.createElement("div"), { className: "fourreal-player-hint" });
    this.stage.append(this.hint);
    this.toolbar = makeToolbar({
      signal,
      onSetting: (name, value) => this.set(name, value),
      onPlay: () => this.togglePlay(),
      onMarking: () => this.setMarking(!this.marking),
      onClear: () => this.setMarks(new Set()),
      onFullscreen: () => this.toggleFullscreen(),
    });
    this.element.append(this.toolbar.element);
  }

  /** Show what nodes/player.py sent. The same grid again keeps the position and the pictures. */
  show(sent) {
    const same = sent.id === this.grid?.id && String(sent.known) === this.sentKnown;
    if (same && this.pictures.failed.size === 0) return;
    const first = !this.pictures;
    if (!this.takeGrid(sent)) return;
    this.sentKnown = String(sent.known);
    this.position = inside(first ? { view: 0, time: 0 } : this.position, this.grid);
    this.rested();
  }

  /** Someone uses this player. */
  used() {
    understood = true;
    this.drawSoon();
  }

  /** Saved settings have arrived. */
  restore() {
    this.settings = parseSettings(this.host.readSettings());
    this.drawSoon();
  }

  tell(text) {
    this.message.textContent = text;
    this.drawSoon();
  }

  get cell() {
    return this.grid ? cellAt(this.position, this.grid) : { view: 0, time: 0 };
  }

  get marks() {
    const text = this.host.readMarks();
    if (text !== this.marksText) [this.marksText, this.parsedMarks] = [text, parseMarks(text)];
    return this.grid ? marksInside(this.parsedMarks, this.grid) : this.parsedMarks;
  }

  setMarks(marks) {
    const text = marksText(marks);
    if (text !== this.host.readMarks()) {
      this.host.beginChange();
      this.host.writeMarks(text);
      this.host.endChange();
    }
    this.drawSoon();
  }

  setMarking(marking) {
    this.marking = marking;
    this.element.classList.toggle("marking", marking);
    this.drawSoon();
  }

  /** Change a setting; without a value a switch is turned over. */
  set(name, value = !this.settings[name]) {
    const moving = this.playing && this.motion.direction;
    if (moving) this.rested();
    this.settings = parseSettings({ ...this.settings, [name]: value });
    this.host.writeSettings(this.settings);
    if (moving) this.play(moving);
    this.rested();
  }

  get playing() {
    return this.motion?.kind === "play";
  }

  togglePlay() {
    this.used();
    if (this.playing) this.moveTo(this.cell);
    else this.play();
  }

  /** Play from here, forwards or backwards. */
  play(direction = 1) {
    if (!this.grid) return;
    this.moving({ kind: "play", from: this.cell, direction });
  }

  /** Go to a position at once. */
  moveTo(position) {
    if (!this.grid) return;
    this.motion = null;
    this.position = inside(position, this.grid);
    this.rested();
  }

  /** Let go at a speed: glide to the middle of a cell. */
  release(speed) {
    this.moving({ kind: "glide", ...glide(this.position, speed, this.grid) });
  }

  moving(motion) {
    this.motion = { ...motion, since: performance.now() };
    this.drawSoon();
  }

  toggleFullscreen() {
    if (document.fullscreenElement === this.element) document.exitFullscreen();
    else this.element.requestFullscreen();
  }

  /** Go on with the motion; whether there still is one. */
  step(now) {
    if (this.motion && this.grid) this.move(now);
    return Boolean(this.motion);
  }

  move(now) {
    const elapsed = Math.max(now - this.motion.since, 0);
    if (this.motion.kind === "play") {
      const { play, pingPong, speed } = this.settings;
      const fps = this.grid.fps * speed * this.motion.direction;
      this.position = playedCell(this.motion.from, elapsed, play, pingPong, fps, this.grid);
      return;
    }
    const { position, done } = glided(this.motion, elapsed);
    this.position = position;
    if (!done) return;
    this.motion = null;
    this.rested();
  }

  /** The canvas's areas in its own CSS pixels. */
  areas() {
    const aspect = this.grid ? pictureAspect(this.grid, this.settings) : null;
    return stageAreas(this.surface.measure().size, this.settings.strips, aspect);
  }

  draw() {
    this.showText();
    const ready = this.surface.prepare();
    if (!ready) return;
    const { ctx, pixelRatio } = ready;
    if (!this.grid || !this.pictures.get(this.grid.overview.file)) {
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, this.canvas.width, this.canvas.height);
      this.element.dataset.shown = "";
      return;
    }
    const picture = (file, want) => this.pictures.get(file, want);
    const sharp = this.sharp || (this.playing && (this.settings.play === "time" || this.allFit));
    const full = drawScene(ctx, { ...this.scene(), picture, pixelRatio, sharp, allFit: this.allFit });
    this.element.dataset.shown = full ? "full" : "small";
  }

  scene(areas = this.areas()) {
    const { grid, cell, settings, marks, movingSlit } = this;
    return { grid, cell, settings, marks, movingSlit, areas, colors: this.colors() };
  }

  colors() {
    return {
      ...themeColors(this.element),
      known: "#ffb826",
      marked: "#e5484d",
      markedVeil: "rgba(229, 72, 77, 0.18)",
      slit: "rgba(255, 255, 255, 0.8)",
    };
  }

  showText() {
    const { view, time } = this.cell;
    const { grid, settings, playing, marking } = this;
    const text = grid ? `view ${view + 1}/${grid.views}  time ${time + 1}/${grid.times}` : ""; // artists count from 1
    if (grid) Object.assign(this.element.dataset, { view, time });
    this.hint.textContent = grid && !understood ? HINTS[settings.swap] : "";
    this.element.dataset.state = this.dragging ? "drag" : (this.motion?.kind ?? "rest");
    this.toolbar.show({ settings, playing, marking, marked: this.marks.size, text });
  }
}
