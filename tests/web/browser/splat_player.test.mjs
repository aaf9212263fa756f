// 4Real Splat Player in the real editor, in both renderers: what it shows is compared with what the core's rasterizer draws of the same splats.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { openEditor } from "../harness.mjs";
import { SplatPlayer, splatWorkflow } from "../splat_players.mjs";

const SCENE = JSON.parse(readFileSync(process.env.FOURREAL_SPLATS)); // {file, grid, width, height, views, times, count, blocks: {"view time": [[r, g, b], ...]}}
const TOLERANCE = { mean: 1.5, most: 6 }; // of 255, of block means: a picture of other pixels, in 8 bits
const SMALL = [330, 330]; // the machine that tests has no graphics card

let editor;
const elsewhere = []; // addresses that the page asked for while there were players
before(async () => {
  editor = await openEditor();
  editor.page.on("request", (request) => /^https?:/.test(request.url()) && !request.url().startsWith(process.env.FOURREAL_HOST) && elsewhere.push(request.url()));
});
after(() => editor?.close());

/** Load, run, and wait for the picture. */
async function shown(options = {}) {
  await editor.load(splatWorkflow(SCENE.file, { size: SMALL, ...options }));
  await editor.run();
  const player = new SplatPlayer(editor);
  await player.waitShown();
  return player;
}

/** What the node keeps, once the player has come to rest. */
async function keptSettings() {
  await editor.page.waitForTimeout(300);
  return (await editor.saved()).nodes.find(({ id }) => id === 2).properties.fourreal_splat_player;
}

/** How far two pictures of blocks are apart: {mean, most}. */
function apart(found, expected) {
  const errors = found.flatMap((block, index) => block.map((value, channel) => Math.abs(value - expected[index][channel])));
  return { mean: errors.reduce((sum, each) => sum + each, 0) / errors.length, most: Math.max(...errors) };
}

async function expectPicture(player, view, time) {
  const found = await player.picture(SCENE, SCENE.count);
  const { mean, most } = apart(found, SCENE.blocks[`${view} ${time}`]);
  assert.ok(mean < TOLERANCE.mean && most < TOLERANCE.most, `view ${view}, time ${time}: ${mean} of 255 off on average, ${most} at most`);
  assert.ok(apart(found, SCENE.blocks[`${view} ${time === 0 ? SCENE.times - 1 : 0}`]).mean > 3 * TOLERANCE.mean, "another time looks the same");
}

for (const [renderer, vueNodes] of [["classic", false], ["Vue nodes", true]]) {
  test(`${renderer}: times, also between the grid's, and views look as the core draws them`, async () => {
    await editor.set("Comfy.VueNodes.Enabled", vueNodes);
    const player = await shown();
    assert.equal(await player.inElement((element) => Boolean(element.closest(".lg-node"))), vueNodes);
    await expectPicture(player, 0, 0);
    await player.slide(1.5);
    await expectPicture(player, 0, 1.5);
    await player.press("End");
    await player.choose("view", SCENE.views - 1);
    await player.waitShown();
    assert.deepEqual(await player.at(), { view: SCENE.views - 1, time: SCENE.times - 1 });
    await expectPicture(player, SCENE.views - 1, SCENE.times - 1);
  });

  test(`${renderer}: dragging turns, Shift-drag moves, the wheel zooms, a double-click snaps back; the graph stays`, async () => {
    const player = await shown();
    const graph = () => editor.page.evaluate(() => [window.app.canvas.ds.scale, ...window.app.canvas.ds.offset]);
    const before = [await graph(), await player.camera()];
    await player.drag([0.5, 0.5], [0.7, 0.55]);
    await player.waitShown();
    const turned = await player.camera();
    assert.equal((await player.at()).view, null);
    await editor.page.keyboard.down("Shift");
    await player.drag([0.5, 0.5], [0.6, 0.5]);
    await editor.page.keyboard.up("Shift");
    await editor.page.mouse.wheel(0, -200);
    await player.waitShown();
    const free = await player.camera();
    assert.ok(new Set([before[1], turned, free].map((camera) => JSON.stringify(camera))).size === 3 && JSON.stringify(turned.rotation) === JSON.stringify(free.rotation));
    writeFileSync(process.env.FOURREAL_FREE.replace("*", vueNodes ? "vue" : "classic"), JSON.stringify({ camera: free, time: 0, blocks: await player.picture(SCENE, SCENE.count) }));
    const { x, y, width, height } = await player.box();
    await editor.page.mouse.dblclick(x + width / 2, y + height / 2);
    await player.waitShown();
    assert.ok(Number.isInteger((await player.at()).view));
    assert.deepEqual(await graph(), before[0]);
  });

  test(`${renderer}: keys move, and none of them reaches the graph`, async () => {
    const player = await shown();
    await editor.page.evaluate(() => {
      window.leaked = [];
      window.listening ??= document.addEventListener("keydown", ({ key }) => window.leaked.push(key)) ?? true;
    });
    await player.press("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowDown");
    await player.waitShown();
    assert.deepEqual(await player.at(), { view: 2, time: 1 });
    await player.press("Shift+ArrowRight", "+", "-", "c", "c", "Delete", "Backspace");
    await player.waitShown();
    assert.equal((await player.at()).view, null);
    await player.press("r", "Home", ".", "j");
    assert.equal(await player.inElement(({ dataset }) => dataset.state), "play");
    await player.press("k", "PageUp");
    await player.waitShown();
    assert.equal((await player.at()).view, 0);
    assert.deepEqual(await editor.page.evaluate(() => window.leaked.filter((key) => key !== "Shift")), []);
    assert.equal((await editor.saved()).nodes.length, 2, "a key deleted the node");
  });

  test(`${renderer}: at a view the grid's cell lies behind a wipe line; away from it there is none`, async () => {
    const player = await shown({ grid: SCENE.grid }); // its cells are negatives
    await player.press("ArrowRight", "w");
    await player.waitShown();
    const found = await player.picture(SCENE, SCENE.count);
    const blocks = SCENE.blocks["0 1"];
    const [across] = SCENE.count;
    const half = (pick, wanted) => apart(found.filter((_, index) => pick(index % across)), wanted.filter((_, index) => pick(index % across)));
    assert.ok(half((column) => column > 1 && column < across / 2 - 2, blocks).mean < 2 * TOLERANCE.mean, "the left half does not show the splats");
    const negative = blocks.map((block) => block.map((value) => 255 - value));
    assert.ok(half((column) => column > across / 2 + 1 && column < across - 3, negative).mean < 4 * TOLERANCE.mean, "the right half does not show the cell");
    await player.press("Shift+ArrowRight");
    await player.waitShown();
    const free = await player.picture(SCENE, SCENE.count);
    assert.ok(apart(free, negative).mean > 20, "the cell is still there beside its camera");
  });

  test(`${renderer}: playing runs through the times and stops at the end, or goes on`, async () => {
    const player = await shown();
    await player.choose("loop", "once");
    await player.choose("speed", 0.25);
    const seen = await player.inElement(async (element) => {
      const times = new Set();
      element.focus();
      element.dispatchEvent(new KeyboardEvent("keydown", { key: " ", bubbles: true }));
      const end = performance.now() + 30_000;
      do {
        await new Promise(requestAnimationFrame);
        times.add(element.dataset.time);
      } while (performance.now() < end && element.dataset.state !== "rest");
      return { times: [...times].map(Number), state: element.dataset.state };
    });
    assert.ok(seen.state === "rest" && seen.times.length > 2 && seen.times.every((time, index) => index === 0 || time >= seen.times[index - 1]), JSON.stringify(seen));
    assert.equal((await player.at()).time, SCENE.times - 1);
    await player.choose("loop", "loop");
    await player.choose("speed", 2);
    const [times, states] = await player.inElement(async (element) => {
      const seen = [[], new Set()];
      element.focus();
      element.dispatchEvent(new KeyboardEvent("keydown", { key: " ", bubbles: true }));
      for (const end = performance.now() + 3000; performance.now() < end; await new Promise(requestAnimationFrame)) seen[0].push(Number(element.dataset.time)), seen[1].add(element.dataset.state);
      element.dispatchEvent(new KeyboardEvent("keydown", { key: "k", bubbles: true }));
      return [seen[0], [...seen[1]]];
    });
    assert.ok(states.includes("play") && times.some((time, index) => index && time < times[index - 1] - 1), `never started over: ${times}`);
  });

  test(`${renderer}: a camera on the map leads to its view`, async () => {
    const player = await shown({ properties: {} });
    const place = await player.place(SCENE);
    const { mapArea, onMap } = await import("../../../web/splat_player/camera_path.mjs");
    const { ahead, middleDepth, upOf } = await import("../../../web/splat_player/camera.mjs");
    const { parseSplats } = await import("../../../web/splat_player/splat_file.mjs");
    const splats = parseSplats(new Uint8Array(readFileSync(SCENE.path)).buffer);
    const size = await player.inElement((element) => element.querySelector("canvas").clientWidth);
    const picture = { x: 0, y: 0, width: size, height: (size * SCENE.height) / SCENE.width };
    const camera = splats.cameras[0];
    const { cameras } = onMap(splats.cameras, upOf(splats.cameras), camera, ahead(camera, middleDepth(splats, camera)), mapArea(picture));
    await player.click(...place(cameras.at(-1).x / picture.width, cameras.at(-1).y / picture.height));
    await player.waitShown();
    assert.deepEqual(await player.at(), { view: SCENE.views - 1, time: 0 });
  });

  test(`${renderer}: a saved frame is what is shown, without anything over it`, async () => {
    const player = await shown({ properties: {} });
    const [download] = await Promise.all([editor.page.waitForEvent("download"), player.button("saveFrame")]);
    assert.equal(download.suggestedFilename(), "4real_splats_view1_time1.png");
    const base64 = readFileSync(await download.path()).toString("base64");
    const found = await editor.page.evaluate(
      async ([data, [across, down]]) => {
        const picture = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
        const canvas = new OffscreenCanvas(across, down);
        const ctx = canvas.getContext("2d");
        ctx.imageSmoothingQuality = "high";
        ctx.drawImage(picture, 0, 0, across, down);
        const { data: pixels } = ctx.getImageData(0, 0, across, down);
        return { width: picture.width, blocks: Array.from({ length: across * down }, (_, index) => [...pixels.slice(4 * index, 4 * index + 3)]) };
      },
      [base64, SCENE.count],
    );
    assert.ok(found.width >= SCENE.width);
    assert.ok(apart(found.blocks, SCENE.blocks["0 0"]).mean < 3 * TOLERANCE.mean);
  });

  test(`${renderer}: camera and time come back with the workflow, whether the camera is free or between views`, async () => {
    const player = await shown();
    await player.drag([0.5, 0.5], [0.65, 0.45]);
    await player.slide(2.25);
    await player.waitShown();
    const [before, camera] = [await player.picture(SCENE, SCENE.count), await player.camera()];
    const kept = await keptSettings();
    assert.deepEqual([kept.at.time, kept.at.camera], [2.25, camera]);
    await editor.load(JSON.parse(JSON.stringify(await editor.saved())));
    await editor.run();
    await player.waitShown();
    assert.deepEqual([await player.at(), await player.camera()], [{ view: null, time: 2.25 }, camera]);
    assert.ok(apart(await player.picture(SCENE, SCENE.count), before).mean < 0.5, "another picture came back");
    await player.press("PageUp", "Home");
    await player.waitShown();
    assert.equal((await keptSettings()).at, null, "the beginning needs no place");
  });
}

test("the graphics card may forget everything: the picture comes back", async () => {
  const player = await shown();
  await player.inElement(async (element) => {
    const drawImage = CanvasRenderingContext2D.prototype.drawImage;
    const source = await new Promise((found) => {
      CanvasRenderingContext2D.prototype.drawImage = function (canvas, ...given) {
        if (this.canvas === element.querySelector("canvas")) found(canvas);
        return drawImage.call(this, canvas, ...given);
      };
      element.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    });
    CanvasRenderingContext2D.prototype.drawImage = drawImage;
    const lost = source.getContext("webgl2").getExtension("WEBGL_lose_context");
    const restored = new Promise((done) => source.addEventListener("webglcontextrestored", done, { once: true }));
    await new Promise((done) => (source.addEventListener("webglcontextlost", done, { once: true }), lost.loseContext()));
    await new Promise((done) => setTimeout(done, 50));
    lost.restoreContext();
    await restored;
  });
  await expectPicture(player, 0, 1);
});

test("two players share one context; when the last is gone it is freed, and so are the workers", async () => {
  const counted = await editor.page.evaluate(() => {
    window.contexts = new Set();
    window.stopped = 0;
    const { getContext } = HTMLCanvasElement.prototype;
    HTMLCanvasElement.prototype.getContext = function (kind, ...given) {
      const made = getContext.call(this, kind, ...given);
      if (kind === "webgl2" && made && !this.closest?.("body")) window.contexts.add(made);
      return made;
    };
    const { terminate } = Worker.prototype;
    Worker.prototype.terminate = function () {
      window.stopped += 1;
      return terminate.call(this);
    };
    window.app.graph.clear();
    return window.contexts.size;
  });
  assert.equal(counted, 0);
  const first = await shown({ players: 2 });
  const second = new SplatPlayer(editor, 3);
  await second.waitShown();
  await second.press("End");
  await expectPicture(second, 0, SCENE.times - 1);
  await expectPicture(first, 0, 0);
  assert.equal(await editor.page.evaluate(() => window.contexts.size), 1);
  const stopped = await editor.page.evaluate(() => window.stopped);
  await editor.remove(2);
  await editor.remove(3);
  assert.deepEqual(await editor.page.evaluate((before) => [window.stopped - before, [...window.contexts].every((context) => context.isContextLost())], stopped), [2, true]);
});

test("nothing went wrong on the page in all this, and nothing was asked of another server", () => {
  assert.deepEqual(editor.problems, []);
  assert.deepEqual(elsewhere, []);
});
