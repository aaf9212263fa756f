// What an editor does with the player, in both renderers: zoom and pan, in and out points, a wipe against a second grid, a confidence, saved frames and videos.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";

import { openEditor } from "../harness.mjs";
import { Player, playerWorkflow } from "../players.mjs";

const { files: FILES, colors: COLORS } = JSON.parse(readFileSync(process.env.FOURREAL_GRID_COLORS)); // colors[view][time] = [r, g, b]
const TIMES = COLORS[0].length;
const TOLERANCE = 5; // of 255: JPEG
const QUARTERS = { red: [255, 0, 0], green: [0, 255, 0], blue: [0, 0, 255], white: [255, 255, 255] };

let editor;
before(async () => (editor = await openEditor()));
after(() => editor?.close());

async function shown(file, options = {}) {
  await editor.load(playerWorkflow(file, options));
  await editor.run();
  const player = new Player(editor);
  await player.waitShown("any");
  return player;
}

const near = (found, expected) => found.every((value, channel) => Math.abs(value - expected[channel]) <= TOLERANCE);
const settled = (player) => player.waitShown("any");
const graphPlace = () => editor.page.evaluate(() => [window.app.canvas.ds.scale, ...window.app.canvas.ds.offset]);
const properties = async () => (await editor.saved()).nodes.find(({ id }) => id === 2).properties.fourreal_player;

async function expectColor(player, [x, y], expected, what) {
  const found = await player.color(x, y);
  assert.ok(near(found, expected), `${what}: ${found}, expected ${expected}`);
}

/** The screen's place of a share of the picture. */
async function onScreen(player, x, y) {
  const { picture } = await player.areas();
  const [across, down] = picture(x, y);
  const box = await player.box();
  return [box.x + across * box.width, box.y + down * box.height];
}

/** Press a button and wait for the file that the browser downloads. */
async function downloaded(press) {
  const [file] = await Promise.all([editor.page.waitForEvent("download"), press()]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

/** Keys that reach the page behind the player. */
async function watchKeys() {
  await editor.page.evaluate(() => {
    window.leaked = [];
    document.addEventListener("keydown", ({ key }) => window.leaked.push(key));
  });
}

for (const [renderer, vueNodes] of [["classic", false], ["Vue nodes", true]]) {
  test(`${renderer}: the wheel and the middle button zoom and pan the picture, and the graph stays`, async () => {
    await editor.set("Comfy.VueNodes.Enabled", vueNodes);
    const player = await shown(FILES.quartered);
    const { picture } = await player.areas();
    const before = await graphPlace();
    await expectColor(player, picture(0.3, 0.25), QUARTERS.red, "whole picture");
    await editor.page.mouse.move(...(await onScreen(player, 0.98, 0.98)));
    for (let turn = 0; turn < 4; turn += 1) await editor.page.mouse.wheel(0, -300);
    await settled(player);
    await expectColor(player, picture(0.3, 0.25), QUARTERS.white, "enlarged around the lower right corner");
    for (let pull = 0; pull < 8; pull += 1) {
      await editor.page.mouse.move(...(await onScreen(player, 0.1, 0.5)));
      await editor.page.mouse.down({ button: "middle" });
      await editor.page.mouse.move(...(await onScreen(player, 0.9, 0.5)), { steps: 2 });
      await editor.page.mouse.up({ button: "middle" });
    }
    await settled(player);
    await expectColor(player, picture(0.3, 0.25), QUARTERS.blue, "pulled to the left edge");
    assert.deepEqual(await player.cell(), { view: 0, time: 0 }, "the wheel or the middle button moved through the grid");
    await editor.page.mouse.dblclick(...(await onScreen(player, 0.5, 0.6)));
    await settled(player);
    await expectColor(player, picture(0.3, 0.25), QUARTERS.red, "whole again after a double click");
    await player.press("z");
    await settled(player);
    assert.equal(await player.inElement((element) => element.dataset.enlarged), "true");
    await player.press("z");
    await editor.page.mouse.move(...(await onScreen(player, 0.5, 0.5)));
    await editor.page.mouse.wheel(0, 600); // nothing to zoom out
    await editor.settle();
    assert.deepEqual(await graphPlace(), before, "the graph moved");
  });

  test(`${renderer}: beside the picture the wheel zooms the graph`, async () => {
    const player = await shown(FILES.coloured);
    const { acrossStrip } = await player.areas();
    const [x, y] = acrossStrip(0.5, 0.5);
    const box = await player.box();
    const [before] = await graphPlace();
    await editor.page.mouse.move(box.x + x * box.width, box.y + y * box.height);
    await editor.page.mouse.wheel(0, 300);
    await editor.page.waitForFunction((scale) => window.app.canvas.ds.scale < scale, before);
  });

  test(`${renderer}: it loops between in and out points, which are shown, saved and cleared`, async () => {
    const player = await shown(FILES.coloured, { properties: { fourreal_player: { pingPong: false } } });
    await watchKeys();
    const { acrossStrip } = await player.areas();
    const outside = acrossStrip(0.5 / TIMES, 0.5);
    const plain = await player.color(...outside);
    await player.press("ArrowRight", "i", "ArrowRight", "ArrowRight", "o");
    assert.deepEqual((await properties()).ranges.time, { in: 1, out: 3 });
    await editor.settle();
    const veiled = await player.color(...outside);
    assert.ok(veiled[0] < plain[0] * 0.6, `${veiled} is not darker than ${plain}`);
    const seen = await player.inElement(async (element) => {
      const times = new Set();
      element.dispatchEvent(new KeyboardEvent("keydown", { key: "l", bubbles: true }));
      for (const end = performance.now() + 2000; performance.now() < end; ) {
        await new Promise(requestAnimationFrame);
        times.add(Number(element.dataset.time));
      }
      return [...times].sort();
    });
    assert.deepEqual(seen, [1, 2, 3]);
    await player.press("k", "Home", "Shift+O");
    assert.deepEqual(await player.cell(), { view: 0, time: 3 });
    await player.press("Alt+x");
    assert.deepEqual((await properties()).ranges.time, { in: null, out: null });
    assert.deepEqual(await editor.page.evaluate(() => window.leaked.filter((key) => !["Alt", "Shift"].includes(key))), []);
  });

  test(`${renderer}: a wipe line that can be dragged divides the grid from the one to compare with`, async () => {
    const player = await shown(FILES.coloured, { compare: FILES.compared });
    const { picture } = await player.areas();
    const [red, green, blue] = COLORS[0][0];
    await expectColor(player, picture(0.3, 0.3), [red, green, blue], "A, left of the line");
    await expectColor(player, picture(0.7, 0.3), [red, green, 250], "B, right of the line");
    await player.drag(picture(0.5, 0.7), picture(0.9, 0.7));
    await settled(player);
    await expectColor(player, picture(0.7, 0.3), [red, green, blue], "A, after the line was dragged");
    await expectColor(player, picture(0.95, 0.3), [red, green, 250], "B, after the line was dragged");
    assert.deepEqual(await player.cell(), { view: 0, time: 0 }, "dragging the line moved through the grid");
    await player.press("w");
    await expectColor(player, picture(0.95, 0.3), [red, green, blue], "A alone");
    await player.press("b", "ArrowRight");
    await settled(player);
    await expectColor(player, picture(0.3, 0.3), [COLORS[0][1][0], COLORS[0][1][1], 250], "B alone");
    assert.equal((await properties()).compare, "b");
  });

  test(`${renderer}: a confidence tints what is unsure, with a legend, and can be hidden`, async () => {
    const player = await shown(FILES.coloured, { confidence: FILES.grey });
    const { picture } = await player.areas();
    const legend = () => player.inElement((element) => !element.querySelector(".fourreal-player-legend").hidden);
    assert.equal(await legend(), true);
    await expectColor(player, picture(0.3, 0.3), COLORS[0][0], "sure: no tint");
    await player.press("PageDown");
    await settled(player);
    const tint = [255, 0, 170].map((value, channel) => 0.8 * value + 0.2 * COLORS[2][0][channel]);
    await expectColor(player, picture(0.3, 0.3), tint, "unsure: four fifths of the tint");
    await player.press("c");
    await expectColor(player, picture(0.3, 0.3), COLORS[2][0], "hidden");
    assert.equal(await legend(), false);
  });

  test(`${renderer}: a button marks the most doubtful of the filled cells, and D the next ones`, async () => {
    const player = await shown(FILES.coloured, { confidence: FILES.grey });
    await player.button("worst");
    assert.equal(await player.marks(), "[[2,1]]", "an eighth of the eight filled cells, from the view that is unsure");
    await player.press("d");
    assert.equal(await player.marks(), "[[2,1],[2,2]]");
    await shown(FILES.coloured);
    const hidden = await new Player(editor).inElement((element) => element.querySelector('[data-action="worst"]').hidden);
    assert.equal(hidden, true, "without a confidence nothing is doubtful");
  });

  test(`${renderer}: the button saves this cell as PNG at its own size, and the menu too`, async () => {
    const player = await shown(FILES.coloured);
    await player.press("ArrowRight", "ArrowDown");
    const byButton = await downloaded(() => player.button("saveFrame"));
    assert.equal(byButton.name, "4real_view2_time2.png");
    assert.deepEqual([byButton.bytes.readUInt32BE(16), byButton.bytes.readUInt32BE(20)], [128, 72]);
    await editor.page.mouse.click(...(await onScreen(player, 0.4, 0.4)), { button: "right" });
    const byMenu = await downloaded(() => editor.page.getByRole("menuitem", { name: "Save frame" }).click());
    assert.deepEqual(byMenu, byButton);
    assert.equal(await editor.page.locator(".fourreal-menu").count(), 0);
    const pixel = await editor.page.evaluate(async (bytes) => {
      const picture = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
      const ctx = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
      ctx.drawImage(picture, 0, 0);
      return [...ctx.getImageData(5, 5, 1, 1).data].slice(0, 3);
    }, [...byButton.bytes]);
    assert.deepEqual(pixel, COLORS[1][1], "not the cell's exact colour");
  });

  test(`${renderer}: the menu copies the frame to the clipboard`, async () => {
    await editor.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const player = await shown(FILES.coloured);
    await editor.page.mouse.click(...(await onScreen(player, 0.4, 0.4)), { button: "right" });
    await editor.page.getByRole("menuitem", { name: "Copy frame" }).click();
    await editor.page.waitForFunction((id) => window.app.graph.getNodeById(id).widgets.find(({ name }) => name === "player").element.querySelector(".fourreal-player-notice").textContent.startsWith("Copied"), 2);
    const size = await editor.page.evaluate(async () => {
      const [item] = await navigator.clipboard.read();
      const picture = await createImageBitmap(await item.getType("image/png"));
      return [picture.width, picture.height];
    });
    assert.deepEqual(size, [128, 72]);
  });

  test(`${renderer}: what plays is saved as a video, backwards between the points, at the player's speed`, async () => {
    const player = await shown(FILES.coloured, { properties: { fourreal_player: { pingPong: false, speed: 2, ranges: { time: { in: 1, out: 3 } } } } });
    await player.press("j", "k");
    const { name, bytes } = await downloaded(() => player.button("saveVideo"));
    assert.equal(name, "4real_view1_time4-2.mp4");
    writeFileSync(join(dirname(process.env.FOURREAL_SHOWN), `played_${vueNodes ? "vue" : "classic"}.mp4`), bytes); // test_in_browser.py looks at its frames
  });

  test(`${renderer}: marks are undone without a click elsewhere, whatever set them, and the cell that is shown stays`, async () => {
    const player = await shown(FILES.coloured);
    const marksAre = (text) =>
      editor.page.waitForFunction((wanted) => {
        const node = window.app.graph.getNodeById(2);
        return !window.app.extensionManager.workflow.activeWorkflow.changeTracker._restoringState && node?.widgets.find(({ name }) => name === "marked_cells").value === wanted;
      }, text);
    await player.press("m");
    await marksAre("[[0,0]]");
    await player.press("ArrowRight", "m");
    await marksAre("[[0,0],[0,1]]");
    await editor.page.keyboard.press("Control+z");
    await marksAre("[[0,0]]");
    await player.waitShown("any");
    assert.deepEqual(await player.cell(), { view: 0, time: 1 }, "undo moved through the grid");
  });
}

test("none of the player's keys does anything in the graph or its sidebars", async () => {
  const player = await shown(FILES.coloured, { compare: FILES.compared, confidence: FILES.grey });
  const state = () => editor.page.evaluate(() => JSON.stringify([window.app.canvas.ds, window.app.graph.nodes.map(({ id, mode, flags }) => [id, mode, flags]), window.app.extensionManager.sidebarTab?.activeSidebarTabId ?? null]));
  const before = await state();
  await watchKeys();
  const keys = [..."jkl,.iowbczmpshx123+-", "Shift+I", "Shift+O", "Alt+x", "Delete", "Backspace", "PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowLeft", " "];
  await player.press(...keys, "k");
  assert.deepEqual(await editor.page.evaluate(() => window.leaked.filter((key) => !["Alt", "Shift"].includes(key))), []);
  assert.equal(await state(), before);
});

test("a removed player frees the pictures of what is laid over its grid, too", async () => {
  await editor.page.evaluate(() => {
    window.openPictures = new Set();
    const { createImageBitmap: make } = window;
    const { transferToImageBitmap: transfer } = OffscreenCanvas.prototype;
    const { close } = ImageBitmap.prototype;
    const kept = (bitmap) => (window.openPictures.add(bitmap), bitmap);
    window.createImageBitmap = async (...given) => kept(await make(...given));
    OffscreenCanvas.prototype.transferToImageBitmap = function () {
      return kept(transfer.call(this));
    };
    ImageBitmap.prototype.close = function () {
      window.openPictures.delete(this);
      return close.call(this);
    };
  });
  await shown(FILES.coloured, { compare: FILES.compared, confidence: FILES.grey });
  await editor.page.waitForFunction(() => window.openPictures.size >= 3); // the overviews of both grids, and the tint
  await editor.remove(2);
  await editor.page.waitForFunction(() => window.openPictures.size === 0);
});

test("a grid of another shape to compare with is told in one message", async () => {
  await editor.load(playerWorkflow(FILES.coloured, { compare: FILES.shorter }));
  await assert.rejects(editor.run(), /expected compare to have the grid's 3 views and 5 times of 128x72, got 3 views and 4 times of 128x72/);
});

test("a workflow from before the new inputs gets them, and still runs", async () => {
  const player = await shown(FILES.coloured);
  const names = await editor.page.evaluate(() => window.app.graph.getNodeById(2).inputs.map(({ name }) => name));
  assert.deepEqual(["compare", "confidence"].map((name) => names.includes(name)), [true, true]);
  assert.equal(await player.inElement((element) => element.querySelector('[data-setting="compare"]').hidden && element.querySelector('[data-setting="confidence"]').hidden), true);
});

test("nothing went wrong on the page in all this", () => {
  assert.deepEqual(editor.problems, []);
});
