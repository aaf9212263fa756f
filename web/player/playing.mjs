// A view of a grid with a position that moves: dragged, gliding, playing between in and out points. What it shows there: view.mjs.

import { GridView } from "../shared/grid_view.mjs";
import { cellAt, glide, glided, inside, playedCell } from "./motion.mjs";
import { axesOf, isLimited, playedRanges, withoutPoints, withPoint } from "./range.mjs";

/** A subclass has settings (settings.mjs), set(name, value) and used(). */
export class PlayingView extends GridView {
  constructor(host, described) {
    super(host, described);
    this.position = { view: 0, time: 0 };
    this.motion = null; // {kind: "glide" | "play", since, ...}
    this.direction = 1; // of playing, as it was last
  }

  get cell() {
    return this.grid ? cellAt(this.position, this.grid) : { view: 0, time: 0 };
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
    this.direction = direction;
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
      this.position = playedCell(this.motion.from, elapsed, play, pingPong, fps, playedRanges(this.settings.ranges, this.grid));
      return;
    }
    const { position, done } = glided(this.motion, elapsed);
    this.position = position;
    if (!done) return;
    this.motion = null;
    this.rested();
  }

  /** Set the point "in" or "out" here, along what plays. */
  setPoint(point) {
    this.set("ranges", withPoint(this.settings.ranges, point, this.cell, this.settings.play));
  }

  clearPoints() {
    this.set("ranges", withoutPoints(this.settings.ranges, this.settings.play));
  }

  /** Whether points limit what plays. */
  get limited() {
    return Boolean(this.grid) && axesOf(this.settings.play).some((axis) => isLimited(this.settings.ranges[axis], this.grid[axis + "s"]));
  }
}
