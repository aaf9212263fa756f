// Saving and copying what a player shows, with a word about how it went.

import { copyPicture, download } from "../shared/files.mjs";
import { compared } from "./layers.mjs";
import { roundOfCells } from "./motion.mjs";
import { playedRanges } from "./range.mjs";
import { frameFile, frameName, videoFile, videoName } from "./save.mjs";

export class Saving {
  /** player: a PlayerView; notify(text) shows a word for a while. */
  constructor(player, notify) {
    Object.assign(this, { player, notify, busy: false });
  }

  /** {grid, letter} of what is shown: B where it alone is, else the grid itself. */
  get shown() {
    const { grid, settings, overlays } = this.player;
    const { compare } = overlays;
    return compared(settings, compare) === "b" ? { grid: compare.grid, letter: "_b" } : { grid, letter: "" };
  }

  saveFrame() {
    const { cell, host } = this.player;
    const { grid, letter } = this.shown;
    return this.done(async () => {
      const name = frameName(letter, cell);
      download(await frameFile(host.request, grid, cell), name);
      return `Downloaded ${name}, ${grid.width}x${grid.height}`;
    });
  }

  copyFrame() {
    const { cell, host } = this.player;
    const { grid } = this.shown;
    return this.done(async () => {
      await copyPicture(frameFile(host.request, grid, cell));
      return `Copied view ${cell.view + 1}, time ${cell.time + 1}`;
    });
  }

  /** One round of what plays: along the same axes, in the same direction, at the same speed, between the same points. */
  saveVideo() {
    const { cell, host, settings, direction } = this.player;
    const { grid, letter } = this.shown;
    const cells = roundOfCells(cell, direction, settings.play, settings.pingPong, playedRanges(settings.ranges, grid));
    const fps = grid.fps * settings.speed;
    return this.done(async () => {
      const name = videoName(letter, cells);
      this.notify(`Making ${name} ...`, true);
      download(await videoFile(host.request, grid, cells, fps), name);
      return `Downloaded ${name}: ${cells.length} frames, ${Number(fps.toFixed(3))} fps`;
    });
  }

  /** One at a time. */
  async done(work) {
    if (this.busy) return;
    this.busy = true;
    this.player.drawSoon();
    try {
      this.notify(await work());
    } catch (error) {
      this.notify(error.message);
    } finally {
      this.busy = false;
      this.player.drawSoon();
    }
  }
}
