// Saving and copying the picture that a splat player shows, without what is drawn over it, with a word about how it went.

import { copyPicture, download } from "../shared/files.mjs";

export class Saving {
  /** player: a SplatView; notify(text) shows a word for a while. */
  constructor(player, notify) {
    Object.assign(this, { player, notify, busy: false });
  }

  saveFrame() {
    return this.done(async () => {
      const { picture, width, height } = this.drawn();
      const name = frameName(this.player);
      download(await picture, name);
      return `Downloaded ${name}, ${width}x${height}`;
    });
  }

  copyFrame() {
    return this.done(async () => {
      const { picture, width, height } = this.drawn();
      await copyPicture(picture);
      return `Copied ${width}x${height} pixels`;
    });
  }

  /** {picture, width, height}: a promise of a PNG, as large as the picture is on the screen and at least as large as a cell. */
  drawn() {
    const { splats, scene, camera, time, surface, canvas } = this.player;
    const shown = this.player.areas().picture.width * (canvas.width / surface.measure().size.width);
    const width = Math.max(Math.round(shown), splats.width);
    const height = Math.round((width * splats.height) / splats.width);
    const kept = Object.assign(document.createElement("canvas"), { width, height });
    const [source, ...place] = scene.draw(camera, time, width, height);
    kept.getContext("2d").drawImage(source, ...place, 0, 0, width, height);
    const picture = new Promise((resolve, reject) => kept.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture is too large for the browser."))), "image/png"));
    return { picture, width, height };
  }

  /** One at a time. */
  async done(work) {
    if (this.busy || !this.player.scene) return;
    this.busy = true;
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

/** Views and times are counted from 1. */
export function frameName({ viewHere, time }) {
  return `4real_splats_${viewHere === null ? "free" : `view${viewHere + 1}`}_time${Number((time + 1).toFixed(2))}.png`;
}
