// One player on the page: its element and what it shows. What moves: playing.mjs; pointer and keys: pointer.mjs, keys.mjs; drawing: draw.mjs; files: saving.mjs.

import { themeColors } from "../shared/theme.mjs";
import { drawScene } from "./draw.mjs";
import { listenToKeys } from "./keys.mjs";
import { compared } from "./layers.mjs";
import { makeLegend } from "./legend.mjs";
import { marksInside, marksText, parseMarks, withWorst } from "./marks.mjs";
import { inside } from "./motion.mjs";
import { Overlays } from "./overlays.mjs";
import { PlayingView } from "./playing.mjs";
import { listenToPointer } from "./pointer.mjs";
import { Saving } from "./saving.mjs";
import { parseSettings } from "./settings.mjs";
import { pictureAspect, stageAreas, tileAt } from "./stage.mjs";
import { makeToolbar } from "./toolbar.mjs";
import { atFullSize, isWhole, WHOLE, zoomed } from "./zoom.mjs";

const LABEL = "Grid player: arrow keys move through times and views, space plays";
const EMPTY = "Run the workflow to see the grid here.";
const HINTS = { false: "Drag ↔ through time, ↕ through views", true: "Drag ↔ through views, ↕ through time" }; // by `swap`
const NOTICE_MS = 6000;

let understood = false; // once a player of this page was used, none says how

export class PlayerView extends PlayingView {
  /**
   * host: loadPicture(file, grid, signal) -> Promise of a picture; request(route, options) -> Promise of a Response; readMarks() -> text; writeMarks(text); readSettings() -> object;
   * writeSettings(object); beginChange() and endChange() around what is one step of its undo.
   */
  constructor(host) {
    super(host, { name: "player", label: LABEL });
    this.settings = parseSettings(host.readSettings());
    this.part = WHOLE; // of each picture that is shown
    this.marking = this.dragging = this.movingSlit = false;
    this.doubtful = []; // [view, time] of filled cells, the worst first
    this.overlays = new Overlays((...about) => this.picturesOf(...about), (text) => this.notify(text));
    this.saving = new Saving(this, (text, stays) => this.notify(text, stays));
    this.build();
    listenToPointer(this, this.closing.signal);
    listenToKeys(this, this.closing.signal);
    this.drawSoon();
  }

  build() {
    const { signal } = this.closing;
    this.message.textContent = EMPTY;
    this.hint = Object.assign(document.createElement("div"), { className: "fourreal-player-hint" });
    this.notice = Object.assign(document.createElement("div"), { className: "fourreal-player-notice" });
    this.notice.setAttribute("role", "status");
    this.legend = makeLegend();
    this.stage.append(this.hint, this.legend, this.notice);
    this.toolbar = makeToolbar({
      signal,
      onSetting: (name, value) => this.set(name, value),
      onPlay: () => this.togglePlay(),
      onMarking: () => this.setMarking(!this.marking),
      onWorst: () => this.markWorst(),
      onClear: () => this.setMarks(new Set()),
      onFullscreen: () => this.toggleFullscreen(),
      onSaveFrame: () => this.saving.saveFrame(),
      onSaveVideo: () => this.saving.saveVideo(),
    });
    this.element.append(this.toolbar.element);
  }

  /** Show what nodes/player.py sent. The same grid again keeps the position and the pictures. */
  show(sent) {
    const same = sent.id === this.grid?.id && String(sent.known) === this.sentKnown && this.pictures.failed.size === 0;
    const first = !this.pictures;
    if (!same && !this.takeGrid(sent)) return;
    this.overlays.take(sent);
    this.doubtful = sent.doubtful ?? [];
    if (same) return this.rested();
    this.sentKnown = String(sent.known);
    this.position = inside(first ? this.startFor(sent.id) : this.position, this.grid);
    this.rested();
  }

  /** What the player that takes this one's place shall know: undo makes all nodes anew. */
  leave() {
    return this.grid && { id: this.grid.id, position: this.position };
  }

  arrive(left) {
    this.left = left;
  }

  startFor(id) {
    return this.left?.id === id ? this.left.position : { view: 0, time: 0 };
  }

  /** Show a word over the picture for a while; with `stays` until the next one. */
  notify(text, stays = false) {
    clearTimeout(this.noticeTimer);
    this.notice.textContent = text;
    if (!stays) this.noticeTimer = setTimeout(() => (this.notice.textContent = ""), NOTICE_MS);
  }

  settled() {
    this.overlays.forgetWanted();
    super.settled();
  }

  get allFit() {
    return super.allFit && this.overlays.allFit;
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

  /** Mark the most doubtful cells, as nodes/player.py ranked them; again for the next ones. */
  markWorst() {
    this.setMarks(withWorst(this.marks, this.doubtful));
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

  /** Show a part of each picture. */
  setPart(part) {
    this.part = part;
    this.rested();
  }

  get enlarged() {
    return !isWhole(this.part);
  }

  /** All of the picture, or one pixel of it per pixel of the screen, or twice its size where that is larger. */
  toggleZoom() {
    if (this.enlarged) return this.setPart(WHOLE);
    const { zoom } = this.surface.measure();
    const { area } = this.tileAt() ?? {};
    if (!area) return;
    const full = atFullSize(WHOLE, this.grid.width, area.width * zoom * window.devicePixelRatio);
    this.setPart(full.width < 0.75 ? full : zoomed(WHOLE, 2));
  }

  /** {cell, area} of the picture under a point, without one that of the shown cell; null where there is none. */
  tileAt(point = null, areas = this.areas()) {
    const { x, y, width, height } = areas.picture;
    return tileAt(areas.picture, point ?? { x: x + width / 2, y: y + height / 2 }, this.grid, this.settings, this.cell);
  }

  toggleFullscreen() {
    if (document.fullscreenElement === this.element) document.exitFullscreen();
    else this.element.requestFullscreen();
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
    const { grid, cell, settings, marks, movingSlit, part } = this;
    const { compare, confidence } = this.overlays;
    return { grid, compare, confidence, part, cell, settings, marks, movingSlit, areas, colors: this.colors() };
  }

  colors() {
    return {
      ...themeColors(this.element),
      known: "#ffb826",
      marked: "#e5484d",
      markedVeil: "rgba(229, 72, 77, 0.18)",
      slit: "rgba(255, 255, 255, 0.8)",
      veil: "rgba(0, 0, 0, 0.6)",
      point: "#fff",
    };
  }

  showText() {
    const { view, time } = this.cell;
    const { grid, settings, playing, marking } = this;
    const text = grid ? `view ${view + 1}/${grid.views}  time ${time + 1}/${grid.times}` : ""; // artists count from 1
    if (grid) Object.assign(this.element.dataset, { view, time, enlarged: this.enlarged });
    this.hint.textContent = grid && !understood ? HINTS[settings.swap] : "";
    this.element.dataset.state = this.dragging ? "drag" : (this.motion?.kind ?? "rest");
    const { compare, confidence } = this.overlays;
    this.legend.hidden = !confidence || !settings.confidence || compared(settings, compare) === "b";
    const has = { grid: Boolean(grid), compare: Boolean(compare), confidence: Boolean(confidence), doubtful: this.doubtful.length > 0 };
    this.toolbar.show({ settings, playing, marking, marked: this.marks.size, has, busy: this.saving.busy, text });
  }

  close() {
    super.close();
    clearTimeout(this.noticeTimer);
    this.overlays.close();
  }
}
