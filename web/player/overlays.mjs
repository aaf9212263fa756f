// The grid to compare with and the confidence that came along with a grid, and their pictures.

import { parseGrid } from "../shared/payload.mjs";
import { allFit } from "../shared/pictures.mjs";
import { tinted } from "./layers.mjs";

const CHANGES = { compare: (picture) => picture, confidence: tinted };
const CALLED = { compare: "the grid to compare with", confidence: "the confidence" };

export class Overlays {
  /** picturesOf(grid, change, onProblem): GridView's. tell(text): shows what is wrong with one of them; the grid itself is shown all the same. */
  constructor(picturesOf, tell) {
    this.picturesOf = picturesOf;
    this.tell = tell;
    this.shown = {}; // name -> {grid, pictures, picture}
  }

  /** Take over what nodes/player.py sent; those that stay the same keep their pictures. */
  take(sent) {
    for (const [name, change] of Object.entries(CHANGES)) {
      const kept = this.shown[name];
      if (kept && kept.grid.id === sent[name]?.id && kept.pictures.failed.size === 0) continue;
      kept?.pictures.close();
      delete this.shown[name];
      if (sent[name]) this.show(name, sent[name], change);
    }
  }

  show(name, sent, change) {
    const failed = (reason) => this.tell(`Cannot show ${CALLED[name]}: ${reason}`);
    try {
      const grid = parseGrid(sent);
      const pictures = this.picturesOf(grid, change, () => failed("its pictures cannot be read; run the workflow again."));
      this.shown[name] = { grid, pictures, picture: (file, want) => pictures.get(file, want) };
    } catch (problem) {
      failed(`${problem.message}.`);
    }
  }

  /** Whether the full-size pictures of all views of each can be kept at once. */
  get allFit() {
    return Object.values(this.shown).every(({ grid, pictures }) => allFit(grid, pictures));
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
