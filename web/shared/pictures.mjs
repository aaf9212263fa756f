// The grid's pictures in the browser: loaded when first asked for, the last wanted first, kept up to a number of bytes.

import { stripBytes } from "./payload.mjs";

const AT_ONCE = 2;

/** Whether the full-size pictures of all views of a grid can be kept at once; if not, asking for all would load them for ever. */
export function allFit(grid, pictures) {
  return stripBytes(grid) * grid.views <= pictures.budget;
}

export class Pictures {
  /**
   * load(file, signal) -> Promise of a decoded picture with width, height and close(). onChange() is called after every picture that
   * arrives, onProblem(error) when one does not. budget: bytes of decoded pictures to keep; `pinned` files stay whatever happens.
   */
  constructor({ load, onChange, onProblem, budget = 256 * 2 ** 20, pinned = [] }) {
    Object.assign(this, { load, onChange, onProblem, budget, pinned: new Set(pinned) });
    this.kept = new Map(); // file -> picture, the one used longest ago first
    this.wanted = []; // the one asked for last at the end
    this.loading = new Set();
    this.failed = new Set();
    this.stop = new AbortController();
  }

  /** The picture if it is there, else null; with `want` it is loaded. */
  get(file, want = true) {
    const picture = this.kept.get(file);
    if (picture) {
      this.kept.delete(file);
      this.kept.set(file, picture);
      return picture;
    }
    if (want) this.want(file);
    return null;
  }

  want(file) {
    if (this.stop.signal.aborted || this.kept.has(file) || this.loading.has(file) || this.failed.has(file)) return;
    this.wanted = this.wanted.filter((other) => other !== file);
    this.wanted.push(file);
    this.next();
  }

  /** Forget what was asked for and not begun: the position has moved on. */
  forgetWanted() {
    this.wanted = [];
  }

  next() {
    while (this.loading.size < AT_ONCE && this.wanted.length) this.begin(this.wanted.pop());
  }

  async begin(file) {
    this.loading.add(file);
    try {
      const picture = await this.load(file, this.stop.signal);
      if (this.stop.signal.aborted) return picture.close();
      this.kept.set(file, picture);
      this.shrink(file);
      this.onChange();
    } catch (error) {
      if (this.stop.signal.aborted) return;
      this.failed.add(file);
      this.onProblem(error);
    } finally {
      this.loading.delete(file);
      this.next();
    }
  }

  shrink(newest) {
    let bytes = 0;
    for (const picture of this.kept.values()) bytes += picture.width * picture.height * 4;
    for (const [file, picture] of this.kept) {
      if (bytes <= this.budget) return;
      if (file === newest || this.pinned.has(file)) continue;
      bytes -= picture.width * picture.height * 4;
      this.kept.delete(file);
      picture.close();
    }
  }

  close() {
    this.stop.abort();
    this.wanted = [];
    for (const picture of this.kept.values()) picture.close();
    this.kept.clear();
  }
}
