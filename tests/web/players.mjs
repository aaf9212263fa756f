// Players in the editor, for tests: what they show and where, and the workflows that feed them.

import { workflowOf } from "./harness.mjs";

export const GRID = "FOURREAL_GRID";

/**
 * A saved grid into one or more players; the grid with marked cells unknown is saved as `redo_*`. `compare`: a file with the grid to compare with;
 * `confidence`: one whose cells are taken for a confidence.
 */
export function playerWorkflow(file, { players = 1, marks = "[]", size = [560, 520], redo = false, compare = null, confidence = null, properties = {} } = {}) {
  const load = (id, name) => ({ id, type: "FourRealLoadGrid", pos: [0, 120 * (id % 30)], size: [280, 80], values: [name], outputs: [["grid", GRID]] });
  const nodes = [load(1, file)];
  const layers = {};
  if (compare) nodes.push(load(30, compare));
  if (compare) layers.compare = [30, 0, GRID];
  if (confidence) nodes.push(load(31, confidence), { id: 32, type: "FourRealGridToImages", pos: [0, 360], size: [280, 120], values: ["view by view"], inputs: { grid: [31, 0, GRID] }, outputs: [["images", "IMAGE"]] });
  if (confidence) layers.confidence = [32, 0, "IMAGE"];
  for (let index = 0; index < players; index += 1) {
    const place = { pos: [320 + index * (size[0] + 40), 0], size };
    nodes.push({ id: 2 + index, type: "FourRealGridPlayer", ...place, properties, values: [marks], inputs: { grid: [1, 0, GRID], ...layers }, outputs: [["to_redo", GRID]] });
  }
  if (redo) nodes.push({ id: 20, type: "FourRealSaveGrid", pos: [0, 160], values: ["redo"], inputs: { grid: [2, 0, GRID] } });
  return workflowOf(nodes);
}

/** The player of one node on the page. */
export class Player {
  constructor(editor, id = 2, widget = "player") {
    Object.assign(this, { editor, id, widget, page: editor.page });
  }

  /** Run a function on the player's element, with further arguments. */
  async inElement(body, ...given) {
    const element = await this.page.evaluateHandle(([id, wanted]) => window.app.graph.getNodeById(id).widgets.find(({ name }) => name === wanted).element, [this.id, this.widget]);
    return element.evaluate(new Function("element", "given", `return (${body})(element, ...given)`), given);
  }

  /** Wait until the player rests and shows its picture; `kind` "any": also before it is sharp. What was just asked for begins with the next frame. */
  async waitShown(kind = "full") {
    await this.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await this.page.waitForFunction(
      ([id, name, wanted]) => {
        const { shown, state } = window.app.graph.getNodeById(id).widgets.find((widget) => widget.name === name).element.dataset;
        return state === "rest" && (shown === wanted || (wanted === "any" && shown));
      },
      [this.id, this.widget, kind],
    );
  }

  /** {view, time} as the player says. */
  cell() {
    return this.inElement((element) => ({ view: Number(element.dataset.view), time: Number(element.dataset.time) }));
  }

  /** The canvas's place on the screen. */
  box() {
    return this.inElement((element) => {
      const { x, y, width, height } = element.querySelector("canvas").getBoundingClientRect();
      return { x, y, width, height };
    });
  }

  /** Mean colour [r, g, b] of a small square of the canvas, at a share of its width and height. */
  color(x, y) {
    return this.inElement(
      (element, across, down) => {
        const canvas = element.querySelector("canvas");
        const { data } = canvas.getContext("2d").getImageData(Math.round(canvas.width * across) - 4, Math.round(canvas.height * down) - 4, 8, 8);
        return [0, 1, 2].map((channel) => data.filter((_, index) => index % 4 === channel).reduce((sum, value) => sum + value, 0) / 64);
      },
      x,
      y,
    );
  }

  /** Mean colours [r, g, b] of blocks of the canvas, line by line, between two places given as shares of it. */
  blocks(from, to, count) {
    return this.inElement(
      (element, [left, top], [right, bottom], [across, down]) => {
        const canvas = element.querySelector("canvas");
        const ctx = canvas.getContext("2d");
        const edges = (start, end, parts, length) => Array.from({ length: parts + 1 }, (_, index) => Math.round((start + ((end - start) * index) / parts) * length));
        const [xs, ys] = [edges(left, right, across, canvas.width), edges(top, bottom, down, canvas.height)];
        const mean = (x, y, width, height) => {
          const { data } = ctx.getImageData(x, y, width, height);
          const sums = [0, 0, 0];
          for (let at = 0; at < data.length; at += 4) for (let channel = 0; channel < 3; channel += 1) sums[channel] += data[at + channel];
          return sums.map((sum) => sum / (data.length / 4));
        };
        const block = (i, j) => mean(xs[i], ys[j], xs[i + 1] - xs[i], ys[j + 1] - ys[j]);
        return Array.from({ length: across * down }, (_, index) => block(index % across, Math.floor(index / across)));
      },
      from,
      to,
      count,
    );
  }

  async press(...keys) {
    await this.inElement((element) => element.focus());
    for (const key of keys) await this.page.keyboard.press(key);
    await this.editor.settle();
  }

  /** Drag over the canvas between two places given as shares of it, then hold still so that nothing glides on. */
  async drag(from, to, { hold = true, steps = 12 } = {}) {
    const { x, y, width, height } = await this.box();
    await this.page.mouse.move(x + from[0] * width, y + from[1] * height);
    await this.page.mouse.down();
    await this.page.mouse.move(x + to[0] * width, y + to[1] * height, { steps });
    if (hold) await this.page.waitForTimeout(150);
    await this.page.mouse.up();
  }

  async click(x, y) {
    const box = await this.box();
    await this.page.mouse.click(box.x + x * box.width, box.y + y * box.height);
    await this.editor.settle();
  }

  /** {acrossStrip, downStrip, map, picture}: each a function from shares of that area to shares of the canvas. */
  async areas() {
    const { stageAreas, pictureAspect } = await import("../../web/player/stage.mjs");
    const { width, height } = await this.inElement((element) => ({ width: element.querySelector("canvas").clientWidth, height: element.querySelector("canvas").clientHeight }));
    const { grid, settings } = await this.shape();
    const areas = stageAreas({ width, height }, settings.strips, pictureAspect(grid, settings));
    const places = Object.entries(areas).map(([name, area]) => [name, (x, y) => [(area.x + x * area.width) / width, (area.y + y * area.height) / height]]);
    return Object.fromEntries(places);
  }

  /** The grid's shape as it was sent, and the player's settings as they are saved. */
  async shape() {
    const { parseSettings } = await import("../../web/player/settings.mjs");
    const [sent, saved] = await this.page.evaluate((id) => {
      const node = window.app.graph.getNodeById(id);
      return [window.app.nodeOutputs[id].fourreal_player[0], node.properties.fourreal_player];
    }, this.id);
    return { grid: sent, settings: parseSettings(saved) };
  }

  /** Where the middle of a cell is while all cells are shown, in shares of the canvas. */
  async cellPlace(view, time) {
    const { picture } = await this.areas();
    const { grid } = await this.shape();
    return picture((time + 0.5) / grid.times, (view + 0.5) / grid.views);
  }

  /** The colours of the canvas on a coarse lattice. */
  distinctColors() {
    return this.inElement((element) => {
      const canvas = element.querySelector("canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const colors = new Set();
      for (let y = 4; y < canvas.height; y += 9) for (let x = 4; x < canvas.width; x += 9) colors.add(data.slice(4 * (y * canvas.width + x), 4 * (y * canvas.width + x) + 3).join());
      return [...colors].map((color) => color.split(",").map(Number));
    });
  }

  button(name) {
    return this.inElement((element, wanted) => element.querySelector(`[data-action="${wanted}"], button[data-setting="${wanted}"]`).click(), name);
  }

  marks() {
    return this.page.evaluate((id) => window.app.graph.getNodeById(id).widgets.find((widget) => widget.name === "marked_cells").value, this.id);
  }
}
