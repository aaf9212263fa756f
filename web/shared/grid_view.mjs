// What a player and a path editor have in common: an element with a canvas, a grid with its pictures, and full-size pictures once nothing moves.

import { parseGrid } from "./payload.mjs";
import { allFit, Pictures } from "./pictures.mjs";
import { Surface } from "./surface.mjs";

const GONE = "The grid's pictures are no longer on the server: run the workflow again.";
const SHARPEN_MS = 120; // full-size pictures are loaded when nothing has moved for this long

/** A subclass has step(now), which goes on with what moves and tells whether something still does, draw() and tell(text), which shows a message. */
export class GridView {
  /** host: loadPicture(file, grid, signal) -> Promise of a picture, and what the subclass needs. `name`: its CSS class is fourreal-`name`. */
  constructor(host, { name, label }) {
    this.host = host;
    this.grid = this.pictures = null;
    this.sharp = false;
    this.sharpenTimer = 0;
    this.closing = new AbortController();
    const make = (className) => Object.assign(document.createElement("div"), { className });
    this.element = make(`fourreal-view fourreal-${name}`);
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-label", label);
    this.stage = make("fourreal-view-stage");
    this.canvas = document.createElement("canvas");
    this.message = make(`fourreal-${name}-message`);
    this.message.setAttribute("role", "status");
    this.stage.append(this.canvas, this.message);
    this.element.append(this.stage);
    this.surface = new Surface(this.canvas, { step: (now) => this.step(now), draw: () => this.draw() });
  }

  /** Take over the grid that the server's node sent, and load its pictures; whether it could be read. */
  takeGrid(sent) {
    try {
      this.grid = parseGrid(sent);
    } catch (problem) {
      this.tell(problem.message);
      return false;
    }
    this.pictures?.close();
    this.pictures = this.picturesOf(this.grid);
    this.tell("");
    return true;
  }

  /** The pictures of a grid, loading; change(picture) makes of each decoded one what is kept, onProblem() is called where one cannot be had. */
  picturesOf(grid, change = (picture) => picture, onProblem = () => this.tell(GONE)) {
    const pictures = new Pictures({
      load: async (file, signal) => change(await this.host.loadPicture(file, grid, signal)),
      onChange: () => this.drawSoon(),
      onProblem,
      pinned: [grid.overview.file],
    });
    pictures.want(grid.overview.file);
    return pictures;
  }

  /** Whether the full-size pictures of all views can be kept at once. */
  get allFit() {
    return Boolean(this.grid) && allFit(this.grid, this.pictures);
  }

  /** What is shown may stay: draw, and load full-size pictures if it really does. */
  rested() {
    this.sharp = false;
    clearTimeout(this.sharpenTimer);
    this.sharpenTimer = setTimeout(() => this.settled(), SHARPEN_MS);
    this.drawSoon();
  }

  /** Nothing has moved for a while. */
  settled() {
    this.sharp = true;
    this.pictures?.forgetWanted();
    this.drawSoon();
  }

  drawSoon() {
    this.surface.drawSoon();
  }

  /** The graph was drawn, perhaps at another zoom. */
  zoomed() {
    this.surface.zoomed();
  }

  close() {
    this.closing.abort();
    clearTimeout(this.sharpenTimer);
    this.surface.close();
    this.pictures?.close();
    this.grid = this.pictures = null;
  }
}
