// 4Real Path in the real editor, in both renderers: what it shows, and the video that came out, are compared with the grid's own cells.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { blendedCells } from "../../../web/path_editor/blend.mjs";
import { openEditor } from "../harness.mjs";
import { PathEditor, pathText, pathWorkflow } from "../paths.mjs";

const { file: FILE, colors: COLORS } = JSON.parse(readFileSync(process.env.FOURREAL_GRID_COLORS)); // colors[view][time] = [r, g, b]
const TOLERANCE = 4; // of 255: JPEG, and blending in whole numbers
const LINE = pathText([[0, 0], [0, 4]]);

let editor;
before(async () => {
  editor = await openEditor();
  await editor.page.evaluate(() => {
    /** A node by its id, in the graph that is shown or in any other. */
    window.nodeOf = (id) => {
      const root = window.app.rootGraph ?? window.app.graph;
      return [window.app.canvas.graph, root, ...root.subgraphs.values()].map((graph) => graph.getNodeById(id)).find(Boolean);
    };
  });
});
after(() => editor?.close());

/** Load, run if there is a grid, and wait for the pictures. */
async function shown(text = LINE, { file = FILE, scale = 1, ...options } = {}) {
  await editor.load(pathWorkflow(file, text, options), { scale });
  const path = new PathEditor(editor);
  if (!file) return path;
  await editor.run();
  await path.waitShown();
  return path;
}

const near = (found, expected) => found.every((value, channel) => Math.abs(value - expected[channel]) <= TOLERANCE);
const blended = (place) => [0, 1, 2].map((channel) => blendedCells(place).reduce((sum, { view, time, weight }) => sum + weight * COLORS[view][time][channel], 0));

/** The preview shows the frame that it should. */
async function expectFrame(path, frame) {
  await path.waitShown();
  const place = (await path.positions())[frame];
  assert.deepEqual(await path.shown(), { frame, ...place, state: "rest" });
  const found = await path.previewColor();
  assert.ok(near(found, blended(place)), `frame ${frame} shows ${found}, expected ${blended(place)}`);
}

/** The video that Python cut shows what the path says. */
async function expectVideo(path) {
  const [found, positions] = [await path.videoColors(), await path.positions()];
  assert.equal(found.length, positions.length);
  found.forEach((color, frame) => assert.ok(near(color, blended(positions[frame])), `frame ${frame} is ${color}, expected ${blended(positions[frame])}`));
}

const nodeCount = () => editor.page.evaluate(() => window.app.graph.nodes.length);

for (const [renderer, vueNodes] of [["classic", false], ["Vue nodes", true]]) {
  test(`${renderer}: a path drawn with the mouse is saved, loaded again, and the video follows it`, async () => {
    await editor.set("Comfy.VueNodes.Enabled", vueNodes);
    const path = await shown();
    assert.equal(await path.inElement((element) => Boolean(element.closest(".lg-node"))), vueNodes);
    await path.dragPlace([0, 4], [2, 4]); // the last point
    await path.clickPlace(2, 1); // a new one behind it
    await path.dragPlace([1, 2], [0, 3]); // the line between the first two
    assert.deepEqual(await path.places(), [[0, 0], [0, 3], [2, 4], [2, 1]]);
    const saved = await editor.saved();
    await editor.load(saved);
    const loaded = new PathEditor(editor);
    assert.deepEqual(await loaded.places(), [[0, 0], [0, 3], [2, 4], [2, 1]]);
    await editor.run();
    await loaded.press("Home");
    await expectFrame(loaded, 0);
    await loaded.press(".", ".", ".");
    await expectFrame(loaded, 3);
    await loaded.press("End");
    await expectFrame(loaded, 8);
    await expectVideo(loaded);
    const [first, last] = [(await loaded.videoColors())[0], (await loaded.videoColors()).at(-1)];
    assert.ok(near(first, COLORS[0][0]) && near(last, COLORS[2][1]), `${first} ${last}`);
  });

  test(`${renderer}: undo and redo, one step for each change`, async () => {
    const path = await shown(LINE, { video: false }); // ComfyUI itself resizes 4Real Grid to Video when undo makes it anew, and takes that for a change
    await path.dragPlace([0, 4], [2, 4]);
    const moved = await path.text();
    await path.choose("loop", "back");
    const looped = await path.text();
    await path.inElement((element) => element.focus());
    for (const [keys, text] of [["Control+z", moved], ["Control+z", LINE], ["Control+y", moved], ["Control+y", looped]]) {
      await editor.page.keyboard.press(keys); // the host loads the whole graph anew, and takes its time
      await editor.page.waitForFunction((wanted) => {
        const loading = window.app.extensionManager.workflow.activeWorkflow.changeTracker._restoringState;
        return !loading && window.nodeOf(2)?.widgets.find(({ name }) => name === "path").value === wanted;
      }, text);
      await path.waitShown();
    }
    await path.press("End");
    await expectFrame(path, 8);
  });

  test(`${renderer}: a copy has the path of the original, and from then on its own`, async () => {
    const path = await shown();
    await path.dragPlace([0, 4], [1, 4]);
    await editor.page.evaluate(() => window.app.canvas.selectNode(window.nodeOf(2)));
    await path.press("Control+c");
    await editor.page.keyboard.press("Control+v");
    await editor.page.waitForFunction(() => window.app.graph.nodes.filter(({ comfyClass }) => comfyClass === "FourRealPath").length === 2);
    const id = await editor.page.evaluate(() => window.app.graph.nodes.find(({ comfyClass, id: each }) => comfyClass === "FourRealPath" && String(each) !== "2").id);
    await editor.page.evaluate((copy) => (window.nodeOf(copy).pos = [320, 560]), id);
    const copy = new PathEditor(editor, id);
    assert.equal(await copy.text(), await path.text());
    await copy.press("PageDown", "ArrowDown");
    assert.deepEqual([await copy.places(), await path.places()], [[[1, 0], [1, 4]], [[0, 0], [1, 4]]]);
  });

  test(`${renderer}: in a subgraph it keeps its path, shows its grid and runs`, async () => {
    const path = await shown(pathText([[0, 0], [2, 4]]));
    await editor.page.evaluate(() => window.app.graph.convertToSubgraph(new Set([window.nodeOf(2)])) && undefined);
    await editor.settle(); // as for a user, who sees the subgraph before opening it
    await editor.page.evaluate(() => {
      const node = window.app.graph.nodes.find(({ subgraph }) => subgraph);
      window.app.canvas.openSubgraph(node.subgraph, node);
    });
    await editor.settle();
    const id = await editor.page.evaluate(() => window.app.canvas.graph.nodes.find(({ comfyClass }) => comfyClass === "FourRealPath").id);
    const inside = new PathEditor(editor, id);
    await inside.waitInPlace(vueNodes);
    assert.deepEqual(await inside.places(), [[0, 0], [2, 4]]);
    await inside.press("PageUp", "ArrowUp");
    assert.deepEqual(await inside.places(), [[0, 0], [1, 4]]);
    await editor.run();
    await inside.press("End");
    await expectFrame(inside, 8);
    await expectVideo(inside);
    await editor.page.evaluate(() => window.app.canvas.setGraph(window.app.rootGraph));
    await editor.load(await editor.saved());
    assert.deepEqual(await new PathEditor(editor, id).places(), [[0, 0], [1, 4]]);
    assert.ok(path);
  });

  test(`${renderer}: several editors on one page each keep their own path`, async () => {
    const first = await shown(LINE, { editors: 2, size: [520, 460] });
    const second = new PathEditor(editor, 12);
    await second.waitShown();
    await first.dragPlace([0, 0], [1, 1]);
    await second.dragPlace([0, 4], [2, 3]);
    assert.deepEqual([await first.places(), await second.places()], [[[1, 1], [0, 4]], [[0, 0], [2, 3]]]);
  });

  test(`${renderer}: a removed editor stops drawing, frees its pictures and leaves nothing behind`, async () => {
    const path = await shown();
    await path.press(" ");
    await editor.page.evaluate(() => {
      window.counts = { drawn: 0, closed: 0 };
      const { drawImage } = CanvasRenderingContext2D.prototype;
      const { close } = ImageBitmap.prototype;
      CanvasRenderingContext2D.prototype.drawImage = function (...given) {
        if (this.canvas.closest(".fourreal-path") || !this.canvas.isConnected) window.counts.drawn += 1;
        return drawImage.apply(this, given);
      };
      ImageBitmap.prototype.close = function () {
        window.counts.closed += 1;
        return close.call(this);
      };
    });
    await editor.page.waitForFunction(() => window.counts.drawn > 20);
    await path.inElement((element) => (window.removedCanvas = element.querySelector("canvas")));
    await editor.remove(2);
    const left = await editor.page.evaluate(async () => {
      window.counts.drawn = 0;
      await new Promise((done) => setTimeout(done, 400));
      return { ...window.counts, elements: document.querySelectorAll(".fourreal-path").length, pixels: window.removedCanvas.width };
    });
    assert.deepEqual({ ...left, closed: left.closed >= 1 }, { drawn: 0, closed: true, elements: 0, pixels: 0 });
  });

  test(`${renderer}: a page and a graph at 200 % give as many pixels as the screen has, and the mouse hits what it should`, async () => {
    await editor.setPixelRatio(2);
    const path = await shown(LINE, { scale: 1.5, size: [560, 460] });
    const { width, inside } = await path.inElement((element) => {
      const canvas = element.querySelector("canvas");
      return { width: canvas.getBoundingClientRect().width, inside: canvas.width };
    });
    assert.ok(Math.abs(inside - width * 2) <= 2, `${inside} pixels for ${width} at 200 %`);
    await path.dragPlace([0, 4], [2, 2]);
    assert.deepEqual(await path.places(), [[0, 0], [2, 2]]);
    await editor.setPixelRatio(1);
  });
}

test("an empty plane of given views and times can be drawn on before there is a grid, and runs", async () => {
  await editor.set("Comfy.VueNodes.Enabled", false);
  const path = await shown(LINE, { file: null });
  await path.type("views", "7");
  await path.type("times", "9");
  assert.deepEqual(await path.places(), [[0, 0], [0, 8]]);
  await path.dragPlace([0, 8], [6, 8]);
  assert.deepEqual([await path.places(), (await path.path()).views, (await path.path()).times], [[[0, 0], [6, 8]], 7, 9]);
  await editor.run();
});

test("a path that was drawn on another plane is stretched to the grid, and Python cuts the same video", async () => {
  const path = await shown(pathText([[0, 0], [7, 16]], { views: 8, times: 17 }));
  await expectVideo(path.editor && Object.assign(path, { positions: async () => Array.from({ length: 9 }, (_, frame) => ({ view: frame / 4, time: frame / 2 })) }));
});

test("holds, easing, speed, rounding, loop and what is between cells come out of Python as the preview shows them", async () => {
  const path = await shown(pathText([[0, 0], [0, 4], [2, 4]], { frames: 14 }));
  await path.press("PageDown", "PageDown", "h", "h", "h", "e", "r");
  await path.type("speed", "2");
  await path.choose("loop", "round");
  const { points, loop } = await path.path();
  assert.deepEqual([points[1].hold, points[1].ease, points[1].rounding, points[1].speed, loop], [3, "in", 1, 2, "round"]);
  await editor.run();
  await expectVideo(path);
  await path.choose("between", "nearest");
  await editor.run();
  await expectVideo(path);
  await path.choose("between", "once");
  await editor.run();
  await expectVideo(path);
  assert.equal((await path.videoColors()).length, (await path.positions()).length);
});

test("keys choose, move, add and remove points, and the host does not see them", async () => {
  const path = await shown();
  await path.press("PageDown", "Insert");
  assert.deepEqual(await path.places(), [[0, 0], [0, 2], [0, 4]]);
  await path.press("ArrowDown", "Shift+ArrowRight");
  assert.deepEqual(await path.places(), [[0, 0], [1, 2.1], [0, 4]]);
  await path.press("Delete", "Delete", "Delete", "Backspace");
  assert.equal((await path.places()).length, 1);
  assert.equal(await nodeCount(), 4, "a key deleted the node");
});

test("the pencil draws a path by hand, and Escape gives up", async () => {
  const path = await shown();
  const { plane } = await path.areas();
  const { x, y, width, height } = await path.box();
  const to = async ([across, down]) => path.page.mouse.move(x + across * width, y + down * height, { steps: 8 });
  const stroke = async () => {
    await path.press("d");
    await to(plane(2, 0));
    await path.page.mouse.down();
    await to(plane(0, 2));
    await to(plane(2, 4));
  };
  await stroke();
  await path.page.keyboard.press("Escape");
  await path.page.mouse.up();
  assert.deepEqual(await path.places(), [[0, 0], [0, 4]]);
  await path.press("Escape");
  await stroke();
  await path.page.mouse.up();
  await editor.settle();
  const places = await path.places();
  for (const [[view, time], at] of [[[2, 0], 0], [[0, 2], 1], [[2, 4], 2]]) {
    assert.ok(Math.abs(places[at][0] - view) < 0.1 && Math.abs(places[at][1] - time) < 0.1, JSON.stringify(places));
  }
  assert.ok((await path.path()).points.every(({ rounding }) => rounding === 1));
});

test("Alt takes any place, Shift keeps to one axis, the right button removes", async () => {
  const path = await shown();
  await path.page.keyboard.down("Alt");
  await path.dragPlace([0, 4], [1.1, 3.1]);
  await path.page.keyboard.up("Alt");
  const [[, [view, time]]] = [await path.places()];
  assert.ok(Math.abs(view - 1.1) < 0.03 && Math.abs(time - 3.1) < 0.03, `${view} ${time}`);
  await path.page.keyboard.down("Shift");
  await path.dragPlace([0, 0], [0.3, 2]);
  await path.page.keyboard.up("Shift");
  assert.deepEqual((await path.places())[0], [0, 2]);
  const { plane } = await path.areas();
  const { x, y, width, height } = await path.box();
  const [across, down] = plane(0, 2);
  await path.page.mouse.click(x + across * width, y + down * height, { button: "right" });
  await editor.settle();
  assert.equal((await path.places()).length, 1);
});

test("a finger draws like a mouse", async () => {
  const path = await shown();
  const { plane } = await path.areas();
  const { x, y, width, height } = await path.box();
  const at = ([across, down], by = 0) => [x + across * width + by, y + down * height + by];
  await editor.touchDrag(at(plane(0, 4), 12), at(plane(2, 4))); // fingers miss by a little
  await editor.settle();
  assert.deepEqual(await path.places(), [[0, 0], [2, 4]]);
});

test("the graph is a handle too, and a click on the video plays", async () => {
  const path = await shown();
  const { graph, preview } = await path.areas();
  await path.click(...graph(6, 9));
  await expectFrame(path, 6);
  await path.click(...preview(0.5, 0.5));
  assert.equal((await path.shown()).state, "play");
  const frames = await path.inElement(async (element) => {
    const seen = new Set();
    for (const end = performance.now() + 2500; performance.now() < end; await new Promise(requestAnimationFrame)) seen.add(element.dataset.frame);
    return seen.size;
  });
  assert.ok(frames >= 5, `${frames} of 9 frames were played`);
  await path.press(" ");
  await path.waitShown();
});

test("a text that cannot be read is told, and a preset starts anew", async () => {
  await editor.load(pathWorkflow(FILE, '{"version":1,"views":3'));
  const path = new PathEditor(editor);
  await editor.settle();
  assert.match(await path.message(), /^expected the path as JSON from the path editor, got text that is not valid JSON: .* choose a preset/);
  await assert.rejects(() => editor.run(), /got text that is not valid JSON/);
  await path.choose("preset", "diagonal");
  assert.equal(await path.message(), "");
  await editor.run();
  await path.waitShown();
  assert.deepEqual([(await path.places()).length, (await path.videoColors()).length], [2, 49]);
});

test("in light and dark the empty parts take the theme's colours", async () => {
  const wells = [];
  for (const theme of ["light", "dark"]) {
    await editor.set("Comfy.ColorPalette", theme);
    const path = await shown(LINE, { file: null });
    const { preview } = await path.areas();
    wells.push(await path.color(...preview(0.1, 0.1)));
  }
  assert.ok(wells[0][0] > wells[1][0] + 60, `${wells}`);
});

test("nothing went wrong on the page in all this", () => {
  const told = /got text that is not valid JSON/; // by the server, about the text that cannot be read
  assert.deepEqual(editor.problems.filter((problem) => !told.test(problem)), []);
});
