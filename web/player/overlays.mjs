// The grid to compare with and the confidence that came along with a grid, and their pictures.

import { parseGrid } from "../shared/payload.mjs";
import { tinted } from "./layers.mjs";

const CHANGES = { compare: (picture) => picture, confidence: tinted };

export class Overlays {
  /** picturesOf(grid, change): GridView's. */
  constructor(picturesOf) {
    this.picturesOf = picturesOf;
    this.shown = {}; // name -> {grid, pictures, picture}
  }

  /** Take over what nodes/player.py sent; those that stay the same keep their pictures. Throws what parseGrid throws. */
  take(sent) {
    for (const [name, change] of Object.entries(CHANGES)) {
      const kept = this.shown[name];
      if (kept && kept.grid.id === sent[name]?.id && kept.pictures.failed.size === 0) continue;
      kept?.pictures.close();
      delete this.shown[name];
      if (!sent[name]) continue;
      const grid = parseGrid(sent[name]);
      const pictures = this.picturesOf(grid, change);
      this.shown[name] = { grid, pictures, picture: (file, want) => pictures.get(file, want) };
    }
  }

  /** {grid, picture(file, want)} or null. */
  get compare() {
    return this.shown.compare ?? null;
  }

  get confidence() {
    return this.shown.confidence ?? null;
  }

  forgetWanted() {
    for (const { pictures } of Object.values(this.shown)) pictures.forgetWanted();
  }

  close() {
    for (const { pictures } of Object.values(this.shown)) pictures.close();
    this.shown = {};
  }
}
