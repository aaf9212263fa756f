// One splat player on the page: its element and what it shows. What moves: flight.mjs; pointer and keys: pointer.mjs, keys.mjs; drawing: renderer.mjs, overlay.mjs.

import { fitted } from "../shared/areas.mjs";
import { themeColors } from "../shared/theme.mjs";
import { camerasSeen, mapArea, onMap } from "./camera_path.mjs";
import { Flight } from "./flight.mjs";
import { listenToKeys } from "./keys.mjs";
import { drawOverlay } from "./overlay.mjs";
import { Pace } from "./pace.mjs";
import { listenToPointer } from "./pointer.mjs";
import { theRenderer } from "./renderer.mjs";
import { Saving } from "./saving.mjs";
import { SceneOrder } from "./scene_order.mjs";
import { parseSettings } from "./settings.mjs";
import { parseSplats } from "./splat_file.mjs";
import { makeToolbar } from "./toolbar.mjs";

const LABEL = "Splat player: drag to turn, arrow keys move through times and views, space plays";
const EMPTY = "Run the workflow to see the splats here.";
const LOST = "The graphics card was lost. The picture comes back by itself once the browser has it again.";
const HINT = "Drag to turn, Shift-drag to move, wheel to zoom";
const NOTICE_MS = 6000;

let understood = false; // once a player of this page was used, none says how

export class SplatView extends Flight {
  /**
   * host: loadPicture(file, described, signal) -> Promise of a picture; loadFile(file, described, signal) -> Promise of an ArrayBuffer; readSettings() -> object; writeSettings(object).
   */
  constructor(host) {
    super(host, { name: "splats", label: LABEL });
    this.settings = parseSettings(host.readSettings());
    this.scene = this.order = this.sent = null;
    this.loading = new AbortController();
    this.pace = new Pace();
    this.dragging = false;
    this.saving = new Saving(this, (text) => this.notify(text));
    this.build();
    listenToPointer(this, this.closing.signal);
    listenToKeys(this, this.closing.signal);
    this.drawSoon();
  }

  build() {
    this.message.textContent = EMPTY;
    this.hint = Object.assign(document.createElement("div"), { className: "fourreal-splats-hint" });
    this.notice = Object.assign(document.createElement("div"), { className: "fourreal-splats-notice" });
    this.notice.setAttribute("role", "status");
    this.stage.append(this.hint, this.notice);
    this.toolbar = makeToolbar({
      signal: this.closing.signal,
      onSetting: (name, value) => this.set(name, value),
      onPlay: () => this.togglePlay(),
      onTime: (time) => (this.used(), this.moveToTime(time)),
      onView: (view) => (this.used(), this.goTo(view)),
      onSaveFrame: () => this.saving.saveFrame(),
      onFullscreen: () => this.toggleFullscreen(),
    });
    this.element.append(this.toolbar.element);
  }

  /** Show what nodes/splat_player.py sent. The same splats again keep camera, time and what is on the graphics card. */
  async show(sent) {
    const same = sent.id === this.sent?.id;
    if (!same) this.loading.abort();
    this.sent = sent;
    this.takeCells(sent.cells);
    if (same) return this.rested();
    this.loading = new AbortController();
    const { signal } = this.loading;
    this.tell(`Loading ${(sent.bytes / 1e6).toFixed(1)} MB ...`);
    try {
      const splats = parseSplats(await this.host.loadFile(sent.file, sent, signal));
      if (signal.aborted || this.closing.signal.aborted) return;
      this.take(splats);
    } catch (problem) {
      if (signal.aborted || this.closing.signal.aborted) return;
      this.sent = null; // the next run tries again
      this.tell(problem.message);
    }
  }

  take(splats) {
    const stay = this.splats?.cameras.length === splats.cameras.length && this.splats.times === splats.times;
    const at = this.splats ? null : this.settings.at; // saved with the workflow
    this.forget();
    this.scene = theRenderer().add(splats, () => this.drawSoon());
    this.order = new SceneOrder(this.scene, { onSorted: () => this.drawSoon(), onProblem: (text) => this.tell(text) });
    this.enter(splats, stay, at);
    this.tell("");
    this.rested();
  }

  /** The grid to compare with, or none. */
  takeCells(cells) {
    if (cells?.id === this.grid?.id) return;
    this.pictures?.close();
    this.pictures = this.grid = null;
    if (cells) this.takeGrid(cells);
  }

  forget() {
    this.order?.close();
    this.scene?.close();
    this.order = this.scene = null;
  }

  /** Show a word over the picture for a while. */
  notify(text) {
    clearTimeout(this.noticeTimer);
    this.notice.textContent = text;
    this.noticeTimer = setTimeout(() => (this.notice.textContent = ""), NOTICE_MS);
  }

  used() {
    understood = true;
    this.drawSoon();
  }

  /** Saved settings have arrived. */
  restore() {
    this.settings = parseSettings(this.host.readSettings());
    if (this.splats) this.standThere(this.settings.at ?? { time: 0, view: 0 });
    this.drawSoon();
  }

  /** Where camera and time have come to rest is saved with the workflow. */
  settled() {
    super.settled();
    if (!this.splats || this.motion || JSON.stringify(this.standing) === JSON.stringify(this.settings.at)) return;
    this.settings = { ...this.settings, at: this.standing };
    this.host.writeSettings(this.settings);
  }

  tell(text) {
    this.message.textContent = text;
    this.drawSoon();
  }

  /** Change a setting; without a value a switch is turned over. What is compared is compared at a view. */
  set(name, value = !this.settings[name]) {
    const direction = this.playing && this.motion.direction;
    if (direction) this.motion = null;
    this.settings = parseSettings({ ...this.settings, [name]: value });
    this.host.writeSettings(this.settings);
    if (direction) this.play(direction);
    if (name === "compare" && value !== "a" && this.splats && this.view === null) this.goTo(null);
    this.rested();
  }

  toggleFullscreen() {
    if (document.fullscreenElement === this.element) document.exitFullscreen();
    else this.element.requestFullscreen();
  }

  /** "a", "wipe" or "b": what is shown of splats and cell. The cell is there only where its camera is. */
  get compared() {
    return this.grid && this.viewHere !== null ? this.settings.compare : "a";
  }

  /** {picture, map} in the canvas's own CSS pixels. */
  areas() {
    const { size } = this.surface.measure();
    const picture = fitted({ x: 0, y: 0, ...size }, this.splats.width / this.splats.height);
    return { picture, map: this.settings.cameras && this.compared === "a" ? mapArea(picture) : null };
  }

  /** What lies over the picture: {seen, map} of camera_path.mjs; nothing while it is compared. */
  get path() {
    const { picture, map } = this.areas();
    if (!this.settings.cameras || this.compared !== "a") return { seen: [], map: null };
    return { seen: camerasSeen(this.splats, this.camera, this.distance, picture), map: map && onMap(this.splats.cameras, this.up, this.camera, this.pivot, map) };
  }

  /** Frames follow one another while something moves or is held, so that they tell how fast the graphics card is. */
  step(now) {
    const moving = super.step(now) || this.dragging;
    if (moving) this.pace.frame(now);
    else this.pace.rest();
    return moving;
  }

  draw() {
    this.showText();
    const ready = this.surface.prepare();
    if (!ready) return;
    const { ctx, pixelRatio } = ready;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.element.dataset.shown = "";
    if (!this.scene) return;
    if (this.scene.renderer.lost) return void (this.message.textContent = LOST);
    if (this.message.textContent === LOST) this.message.textContent = "";
    const still = this.sharp && !this.motion && !this.dragging;
    const time = this.compared === "a" ? this.time : this.cellTime;
    this.order.want(this.camera, time);
    const place = pixels(this.areas().picture, pixelRatio);
    const scale = still ? 1 : this.pace.scale;
    const [width, height] = [place.width, place.height].map((length) => Math.max(Math.round(length * scale), 1));
    ctx.imageSmoothingQuality = "high";
    if (this.order.sorted) ctx.drawImage(...this.scene.draw(this.camera, time, width, height), place.x, place.y, place.width, place.height);
    ctx.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
    const full = drawOverlay(ctx, this.overlay(pixelRatio));
    const done = still && this.order.fresh && full;
    if (done) this.element.dataset.camera = JSON.stringify(this.camera);
    this.element.dataset.shown = done ? "full" : "draft";
  }

  /** What drawOverlay() takes. */
  overlay(pixelRatio) {
    const { grid, sharp, settings, compared, viewHere, cellTime } = this;
    const picture = (file, want) => this.pictures.get(file, want);
    return { ...this.areas(), path: this.path, compared, wipe: settings.wipe, view: viewHere, cell: { view: viewHere, time: cellTime }, colors: themeColors(this.element), cells: { grid, picture, sharp, pixelRatio, colors: themeColors(this.element) } };
  }

  showText() {
    const { splats, settings, playing, view, time, grid } = this;
    const nearest = splats && (this.viewHere ?? (view === null ? null : Math.round(view)));
    const where = nearest === null ? "free view" : `view ${nearest + 1}/${splats?.cameras.length}`;
    const shownTime = splats && (this.compared === "a" ? time : this.cellTime);
    const text = splats ? `${where}  time ${Number((shownTime + 1).toFixed(1))}/${splats.times}` : ""; // artists count from 1
    this.element.dataset.view = view ?? "free";
    this.element.dataset.time = time;
    this.element.dataset.state = this.dragging ? "drag" : (this.motion?.kind ?? "rest");
    this.hint.textContent = splats && !understood ? HINT : "";
    this.toolbar.show({ settings, playing, text, time, view: nearest, times: splats?.times ?? 1, views: splats?.cameras.length ?? 0, has: { cells: Boolean(grid), splats: Boolean(splats) }, busy: this.saving.busy });
  }

  close() {
    super.close();
    this.loading.abort();
    clearTimeout(this.noticeTimer);
    this.forget();
    this.splats = null;
  }
}

/** An area on whole pixels of the canvas, so that what is drawn for it is not scaled. */
function pixels({ x, y, width, height }, ratio) {
  return { x: Math.round(x * ratio), y: Math.round(y * ratio), width: Math.max(Math.round(width * ratio), 1), height: Math.max(Math.round(height * ratio), 1) };
}
