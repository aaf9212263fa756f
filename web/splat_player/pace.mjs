// How fine a moving picture is drawn, so that a slow graphics card keeps up; a picture at rest is always drawn in full. Pure.

const SLOW_MS = 40; // per frame: coarser from here on
const FAST_MS = 22; // finer again below
const LONGEST_MS = 250; // longer frames count as this
const COARSEST = 0.25;
const STEP = 0.85;

export class Pace {
  constructor() {
    this.scale = 1; // of the width and the height
    this.mean = (SLOW_MS + FAST_MS) / 2;
    this.last = null;
  }

  /** A frame of something that moves is drawn at this time. */
  frame(now) {
    const took = this.last === null ? null : now - this.last;
    this.last = now;
    if (took === null) return;
    this.mean += 0.3 * (Math.min(took, LONGEST_MS) - this.mean);
    if (this.mean > SLOW_MS && this.scale > COARSEST) this.change(STEP);
    else if (this.mean < FAST_MS && this.scale < 1) this.change(1 / STEP);
  }

  /** Nothing moves: the time until the next frame says nothing. */
  rest() {
    this.last = null;
  }

  change(by) {
    this.scale = Math.min(Math.max(this.scale * by, COARSEST), 1);
    this.mean = (SLOW_MS + FAST_MS) / 2; // what the change does is yet to be seen
  }
}
