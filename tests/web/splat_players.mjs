// Splat players in the editor, for tests.

import { fitted } from "../../web/shared/areas.mjs";
import { GRID, Player } from "./players.mjs";
import { workflowOf } from "./harness.mjs";

export const SPLATS = "FOURREAL_SPLATS";

/** Saved splats, and perhaps a saved grid, into one or more splat players. */
export function splatWorkflow(file, { players = 1, size = [560, 440], grid = null, properties = { cameras: false } } = {}) {
  const nodes = [{ id: 1, type: "FourRealLoadSplats", size: [280, 80], values: [file], outputs: [["splats", SPLATS]] }];
  if (grid) nodes.push({ id: 30, type: "FourRealLoadGrid", pos: [0, 160], size: [280, 80], values: [grid], outputs: [["grid", GRID]] });
  for (let index = 0; index < players; index += 1) {
    const inputs = { splats: [1, 0, SPLATS], ...(grid ? { grid: [30, 0, GRID] } : {}) };
    nodes.push({ id: 2 + index, type: "FourRealSplatPlayer", pos: [320 + index * (size[0] + 40), 0], size, inputs, properties: { fourreal_splat_player: properties } });
  }
  return workflowOf(nodes);
}

export class SplatPlayer extends Player {
  constructor(editor, id = 2) {
    super(editor, id, "splat_player");
  }

  /** {view, time}: view is a number, or null off the views' path. */
  at() {
    return this.inElement(({ dataset }) => ({ view: dataset.view === "free" ? null : Number(dataset.view), time: Number(dataset.time) }));
  }

  /** The camera at rest, as camera.mjs has it. */
  camera() {
    return this.inElement(({ dataset }) => JSON.parse(dataset.camera));
  }

  /** A function from shares of the picture to shares of the canvas. */
  async place({ width, height }) {
    const size = await this.inElement((element) => ({ width: element.querySelector("canvas").clientWidth, height: element.querySelector("canvas").clientHeight }));
    const area = fitted({ x: 0, y: 0, ...size }, width / height);
    return (x, y) => [(area.x + x * area.width) / size.width, (area.y + y * area.height) / size.height];
  }

  /** Mean colours of blocks of the picture at rest, line by line. */
  async picture(scene, count) {
    await this.waitShown();
    const place = await this.place(scene);
    return this.blocks(place(0, 0), place(1, 1), count);
  }

  slide(time) {
    return this.inElement((element, value) => {
      const slider = element.querySelector('input[type="range"]');
      slider.value = String(value);
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }, time);
  }

  choose(name, value) {
    return this.inElement(
      (element, setting, wanted) => {
        const select = element.querySelector(`select[data-setting="${setting}"]`);
        select.value = wanted;
        select.dispatchEvent(new Event("change", { bubbles: true }));
      },
      name,
      String(value),
    );
  }
}
