// 4Real Grid Player in the real editor, in both renderers: what it shows is compared with the grid's own cells.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { openEditor } from "../harness.mjs";
import { Player, playerWorkflow } from "../players.mjs";

const { file: FILE, colors: COLORS } = JSON.parse(readFileSync(process.env.FOURREAL_GRID_COLORS)); // colors[view][time] = [r, g, b]
const VIEWS = COLORS.length;
const TIMES = COLORS[0].length;
const TOLERANCE = 4; // of 255: JPEG

let editor;
before(async () => (editor = await openEditor()));
after(() => editor?.close());

/** Load, run, and wait for the picture. */
async function shown(options = {}, { scale = 1 } = {}) {
  await editor.load(playerWorkflow(FILE, options), { scale });
  await editor.run();
  const player = new Player(editor);
  await player.waitShown("any");
  return player;
}

const near = (found, expected) => found.every((value, channel) => Math.abs(value - expected[channel]) <= TOLERANCE);

async function expectCell(player, view, time) {
  assert.deepEqual(await player.cell(), { view, time });
  const { picture } = await player.areas();
  const found = await player.color(...picture(0.3, 0.25)); // beside the lines and marks
  assert.ok(near(found, COLORS[view][time]), `view ${view}, time ${time} shows ${found}, expected ${COLORS[view][time]}`);
}

for (const [renderer, vueNodes] of [["classic", false], ["Vue nodes", true]]) {
  test(`${renderer}: shows the first cell of a grid that has run`, async () => {
    await editor.set("Comfy.VueNodes.Enabled", vueNodes);
    const player = await shown();
    await expectCell(player, 0, 0);
    assert.equal(await player.inElement((element) => Boolean(element.closest(".lg-node"))), vueNodes);
  });

  test(`${renderer}: dragging sideways moves through time, up and down through views`, async () => {
    const player = await shown();
    await player.drag([0.05, 0.3], [0.7, 0.33]);
    await player.waitShown("any");
    await expectCell(player, 0, TIMES - 1);
    await player.drag([0.3, 0.05], [0.32, 0.7]);
    await player.waitShown("any");
    await expectCell(player, VIEWS - 1, TIMES - 1);
  });

  test(`${renderer}: keys step and jump, and the host does not see them`, async () => {
    const player = await shown();
    await player.press("ArrowRight", "ArrowRight", "ArrowDown");
    await expectCell(player, 1, 2);
    await player.press("End", "PageDown");
    await expectCell(player, VIEWS - 1, TIMES - 1);
    await player.press("Home", "Delete", "Backspace", "m");
    await expectCell(player, VIEWS - 1, 0);
    assert.equal(await player.marks(), `[[${VIEWS - 1},0]]`);
    assert.equal((await editor.saved()).nodes.length, 2, "a key deleted the node");
  });

  test(`${renderer}: strips and map are handles too, and the map shows known and marked cells`, async () => {
    const player = await shown();
    await player.press("ArrowDown", "ArrowRight", "m");
    const { acrossStrip, downStrip, map } = await player.areas();
    await player.click(...acrossStrip(0.99, 0.5));
    await expectCell(player, 1, TIMES - 1);
    await player.click(...downStrip(0.5, 0.99));
    await expectCell(player, VIEWS - 1, TIMES - 1);
    const red = await player.color(...map(1.5 / TIMES, 1.5 / VIEWS));
    const yellow = await player.color(...map(2.5 / TIMES, 0.5 / VIEWS));
    const neither = await player.color(...map(2.5 / TIMES, 1.5 / VIEWS));
    assert.ok(near(red, [229, 72, 77]) && near(yellow, [255, 184, 38]) && !near(neither, [255, 184, 38]), `${red} ${yellow} ${neither}`);
    await player.click(...map(0.5 / TIMES, 0.5 / VIEWS));
    await expectCell(player, 0, 0);
  });

  test(`${renderer}: marked cells are saved and come out unknown on the next run`, async () => {
    const player = await shown({ redo: true });
    await player.button("mark");
    const { map } = await player.areas();
    await player.drag(map(0.5 / TIMES, 0.5 / VIEWS), map(0.5 / TIMES, 0.99));
    assert.equal(await player.marks(), "[[0,0],[1,0],[2,0]]");
    await player.click(...map(0.5 / TIMES, 1.5 / VIEWS)); // a second time: no longer marked
    assert.equal(await player.marks(), "[[0,0],[2,0]]");
    await editor.run();
    await expectCell(player, 1, 0);
    const saved = await editor.saved();
    assert.deepEqual(saved.nodes.find((node) => node.id === 2).widgets_values, ["[[0,0],[2,0]]"]);
    await editor.load(saved);
    assert.equal(await new Player(editor).marks(), "[[0,0],[2,0]]");
  });

  test(`${renderer}: several players on one page each keep their own place and marks`, async () => {
    const first = await shown({ players: 2, size: [480, 420] });
    const second = new Player(editor, 3);
    await second.waitShown("any");
    await first.press("End", "m");
    await second.press("PageDown");
    await expectCell(first, 0, TIMES - 1);
    await expectCell(second, VIEWS - 1, 0);
    assert.deepEqual([await first.marks(), await second.marks()], [`[[0,${TIMES - 1}]]`, "[]"]);
  });

  test(`${renderer}: a removed player stops drawing and frees its pictures`, async () => {
    const player = await shown();
    await player.press(" ");
    await editor.page.evaluate(() => {
      window.counts = { drawn: 0, closed: 0 };
      const { drawImage } = CanvasRenderingContext2D.prototype;
      const { close } = ImageBitmap.prototype;
      CanvasRenderingContext2D.prototype.drawImage = function (...given) {
        if (this.canvas.closest?.(".fourreal-player") || !this.canvas.isConnected) window.counts.drawn += 1;
        return drawImage.apply(this, given);
      };
      ImageBitmap.prototype.close = function () {
        window.counts.closed += 1;
        return close.call(this);
      };
    });
    await editor.page.waitForFunction(() => window.counts.drawn > 20);
    await editor.remove(2);
    const after = await editor.page.evaluate(async () => {
      window.counts.drawn = 0;
      await new Promise((done) => setTimeout(done, 400));
      return { ...window.counts, left: document.querySelectorAll(".fourreal-player").length };
    });
    assert.deepEqual({ drawn: after.drawn, left: after.left }, { drawn: 0, left: 0 });
    assert.ok(after.closed >= 1, "no picture was closed");
  });

  test(`${renderer}: a page and a graph at 200 % give a canvas of as many pixels as the screen has`, async () => {
    await editor.setPixelRatio(2);
    const player = await shown({ size: [480, 380] }, { scale: 1.5 });
    const { width, inside } = await player.inElement((element) => {
      const canvas = element.querySelector("canvas");
      return { width: canvas.getBoundingClientRect().width, inside: canvas.width };
    });
    assert.ok(Math.abs(inside - width * 2) <= 2, `${inside} pixels for ${width} at 200 %`);
    await player.drag([0.05, 0.3], [0.7, 0.3]);
    await player.waitShown("any");
    await expectCell(player, 0, TIMES - 1);
    await editor.setPixelRatio(1);
  });
}

test("a flick glides on, and always ends in the middle of a cell", async () => {
  const player = await shown();
  await player.drag([0.1, 0.3], [0.2, 0.3], { hold: false, steps: 3 });
  await player.waitShown("any");
  const { time } = await player.cell();
  assert.ok(time >= 1);
  await expectCell(player, 0, time);
});

test("pointing moves through the grid when that is switched on", async () => {
  const player = await shown();
  const { x, y, width, height } = await player.box();
  await player.page.mouse.move(x + 0.6 * width, y + 0.1 * height);
  await expectCell(player, 0, 0);
  await player.press("h");
  await player.page.mouse.move(x + 0.7 * width, y + 0.1 * height, { steps: 3 });
  await player.waitShown("any");
  await expectCell(player, 0, TIMES - 1);
});

test("playing runs through the times and stops on a cell", async () => {
  const player = await shown();
  const seen = await player.inElement(async (element) => {
    const times = new Set();
    element.focus();
    element.dispatchEvent(new KeyboardEvent("keydown", { key: " ", bubbles: true }));
    for (const end = performance.now() + 1500; performance.now() < end; ) {
      await new Promise(requestAnimationFrame);
      times.add(element.dataset.time);
    }
    return { times: [...times], state: element.dataset.state };
  });
  assert.deepEqual([seen.times.length, seen.state], [TIMES, "play"]);
  await player.press(" ");
  await player.waitShown("any");
});

test("J, K, L and , . shuttle and step, counted from 1, and none of them reaches the graph", async () => {
  const player = await shown();
  await editor.page.evaluate(() => {
    window.leaked = [];
    document.addEventListener("keydown", ({ key }) => window.leaked.push(key));
  });
  await player.press(".", ".", ",");
  await expectCell(player, 0, 1);
  assert.equal(await player.inElement((element) => element.querySelector("output").textContent), `view 1/${VIEWS}  time 2/${TIMES}`);
  await player.press("j");
  assert.equal(await player.inElement(({ dataset }) => dataset.state), "play");
  await player.press("k");
  await player.waitShown("any");
  await player.press("l");
  assert.equal(await player.inElement(({ dataset }) => dataset.state), "play");
  await player.press("k");
  await player.waitShown("any");
  assert.deepEqual(await editor.page.evaluate(() => window.leaked), []);
});

test("marks are one step of undo, without a click elsewhere", async () => {
  const player = await shown();
  await player.button("mark");
  const { map } = await player.areas();
  await player.drag(map(0.1, 0.2), map(0.9, 0.2));
  const marked = await player.marks();
  assert.ok(JSON.parse(marked).length >= 3, marked);
  await editor.page.keyboard.press("Control+z");
  await editor.page.waitForFunction(() => {
    const node = window.app.graph.getNodeById(2);
    return !window.app.extensionManager.workflow.activeWorkflow.changeTracker._restoringState && node?.widgets.find(({ name }) => name === "marked_cells").value === "[]";
  });
});

test("exchanged directions: sideways through views", async () => {
  const player = await shown();
  await player.press("x", "ArrowRight");
  await expectCell(player, 1, 0);
  assert.equal((await editor.saved()).nodes.find((node) => node.id === 2).properties.fourreal_player.swap, true);
});

test("all views and all cells at once", async () => {
  const player = await shown();
  await player.press("ArrowRight", "s", "3");
  const place = (view, time) => player.cellPlace(view, time);
  for (const [view, time] of [[0, 2], [VIEWS - 1, 0], [VIEWS - 1, TIMES - 1]]) {
    assert.ok(near(await player.color(...(await place(view, time))), COLORS[view][time]), `view ${view}, time ${time}`);
  }
  await player.click(...(await place(2, 3)));
  assert.deepEqual(await player.cell(), { view: 2, time: 3 });
  await player.press("2");
  await player.waitShown("any");
  const found = await player.distinctColors();
  for (let view = 0; view < VIEWS; view += 1) assert.ok(found.some((color) => near(color, COLORS[view][3])), `view ${view} is missing`);
});

test("a finger drags like a mouse", async () => {
  const player = await shown();
  const { x, y, width, height } = await player.box();
  await editor.touchDrag([x + 0.1 * width, y + 0.3 * height], [x + 0.7 * width, y + 0.3 * height]);
  await player.waitShown("any");
  await expectCell(player, 0, TIMES - 1);
});

test("in light and dark the empty parts take the theme's colours", async () => {
  const faces = [];
  for (const theme of ["light", "dark"]) {
    await editor.set("Comfy.ColorPalette", theme);
    const player = await shown();
    faces.push(await player.inElement((element) => getComputedStyle(element.querySelector("button")).backgroundColor));
  }
  assert.notEqual(faces[0], faces[1]);
});

test("nothing went wrong on the page in all this", () => {
  assert.deepEqual(editor.problems, []);
});
