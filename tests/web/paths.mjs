// Path editors in the editor, for tests: what they show and where, and the workflows that they are part of.

import { cameraPositions } from "../../web/path_editor/camera_path.mjs";
import { parsePath } from "../../web/path_editor/path_text.mjs";
import { editorAreas, frameX, toPoint } from "../../web/path_editor/plane.mjs";
import { workflowOf } from "./harness.mjs";
import { GRID, Player } from "./players.mjs";

/** A saved grid (or none) into one or more path editors; with `video` that of the first one is saved as pictures by node 4. */
export function pathWorkflow(file, text, { editors = 1, size = [760, 500], video = true } = {}) {
  const inputs = file ? { grid: [1, 0, GRID] } : {};
  const nodes = Array.from({ length: editors }, (_, index) => {
    const place = { pos: [320 + index * (size[0] + 40), 0], size };
    return { id: 2 + 10 * index, type: "FourRealPath", ...place, values: [text], inputs, outputs: [["camera_path", "FOURREAL_PATH"]] };
  });
  if (!file) return workflowOf(nodes);
  const load = { id: 1, type: "FourRealLoadGrid", pos: [0, 0], size: [280, 120], values: [file], outputs: [["grid", GRID]] };
  if (!video) return workflowOf([load, ...nodes]);
  const cut = { id: 3, type: "FourRealGridToVideo", pos: [0, 140], size: [280, 140], values: ["fixed view", 0, 0], inputs: { grid: [1, 0, GRID], camera_path: [2, 0, "FOURREAL_PATH"] }, outputs: [["video", "VIDEO"], ["images", "IMAGE"]] };
  const save = { id: 4, type: "PreviewImage", pos: [0, 340], size: [280, 100], inputs: { images: [3, 1, "IMAGE"] } };
  return workflowOf([load, ...nodes, cut, save]);
}

/** The text of a path on a plane of 3 views x 5 times through [view, time] places. */
export function pathText(places, { frames = 9, loop = "no", between = "blend", views = 3, times = 5 } = {}) {
  return JSON.stringify({ version: 1, views, times, frames, fps: 12, loop, between, points: places.map(([view, time]) => ({ view, time })) });
}

/** The path editor of one node on the page. */
export class PathEditor extends Player {
  constructor(editor, id = 2) {
    super(editor, id);
  }

  async inElement(body, ...given) {
    const element = await this.page.evaluateHandle((id) => window.nodeOf(id).widgets.find((widget) => widget.name === "path_editor").element, this.id);
    return element.evaluate(new Function("element", "given", `return (${body})(element, ...given)`), given);
  }

  /** Wait until the pictures are there and nothing moves. */
  async waitShown() {
    await this.page.waitForFunction((id) => {
      const { shown, state } = window.nodeOf(id).widgets.find((widget) => widget.name === "path_editor").element.dataset;
      return state === "rest" && shown;
    }, this.id);
    await this.editor.settle();
  }

  /** Wait until the renderer has put the element where it stays: a key goes nowhere while it moves. */
  async waitInPlace(vueNodes) {
    await this.page.waitForFunction(
      ([id, inVueNode]) => {
        const { element } = window.nodeOf(id).widgets.find((widget) => widget.name === "path_editor");
        return element.clientWidth > 0 && Boolean(element.closest(".lg-node")) === inVueNode;
      },
      [this.id, vueNodes],
    );
    await this.editor.settle();
  }

  text() {
    return this.page.evaluate((id) => window.nodeOf(id).widgets.find((widget) => widget.name === "path").value, this.id);
  }

  async path() {
    return parsePath(await this.text());
  }

  /** [[view, time], ...] of the points in the widget. */
  async places() {
    return (await this.path()).points.map(({ view, time }) => [view, time]);
  }

  async positions() {
    const path = await this.path();
    return cameraPositions(path, path);
  }

  async canvasSize() {
    return this.inElement((element) => ({ width: element.querySelector("canvas").clientWidth, height: element.querySelector("canvas").clientHeight }));
  }

  /** {plane, preview, graph}: from a place, shares of the preview, or a frame to shares of the canvas. */
  async areas(aspect = 16 / 9) {
    const size = await this.canvasSize();
    const path = await this.path();
    const { plane, preview, graph } = editorAreas(size, path, aspect);
    const share = ({ x, y }) => [x / size.width, y / size.height];
    return {
      plane: (view, time) => share(toPoint(plane, path, { view, time })),
      preview: (x, y) => share({ x: preview.x + x * preview.width, y: preview.y + y * preview.height }),
      graph: (frame, count) => share({ x: frameX(graph, frame, count), y: graph.y + graph.height / 2 }),
    };
  }

  /** Drag on the plane from one [view, time] to another. */
  async dragPlace(from, to) {
    const { plane } = await this.areas();
    await this.drag(plane(...from), plane(...to));
    await this.editor.settle();
  }

  async clickPlace(view, time) {
    const { plane } = await this.areas();
    await this.click(...plane(view, time));
  }

  /** Mean colour in the middle of the preview. */
  async previewColor() {
    const { preview } = await this.areas();
    return this.color(...preview(0.5, 0.5));
  }

  /** What the element says it shows. */
  shown() {
    return this.inElement(({ dataset }) => ({ frame: Number(dataset.frame), view: Number(dataset.view), time: Number(dataset.time), state: dataset.state }));
  }

  message() {
    return this.inElement((element) => element.querySelector(".fourreal-path-message").textContent);
  }

  async choose(name, value) {
    await this.inElement(
      (element, setting, chosen) => {
        const select = element.querySelector(`select[data-setting="${setting}"]`);
        select.value = chosen;
        select.dispatchEvent(new Event("change"));
      },
      name,
      value,
    );
    await this.editor.settle();
  }

  async type(name, value) {
    await this.inElement(
      (element, number, typed) => {
        const input = element.querySelector(`input[data-number="${number}"]`);
        input.value = typed;
        input.dispatchEvent(new Event("change"));
      },
      name,
      value,
    );
    await this.editor.settle();
  }

  /** Mean colour [r, g, b] of every picture that node 4 showed in the last run. */
  videoColors() {
    return this.page.evaluate(async () => {
      const colors = [];
      for (const { filename, subfolder, type } of window.app.nodeOutputs["4"].images) {
        const answer = await window.comfyAPI.api.api.fetchApi("/view?" + new URLSearchParams({ filename, subfolder, type }));
        const picture = await createImageBitmap(await answer.blob());
        const ctx = new OffscreenCanvas(1, 1).getContext("2d");
        ctx.drawImage(picture, picture.width / 2, picture.height / 2, 1, 1, 0, 0, 1, 1);
        colors.push([...ctx.getImageData(0, 0, 1, 1).data.slice(0, 3)]);
        picture.close();
      }
      return colors;
    });
  }
}
