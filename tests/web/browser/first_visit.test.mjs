// A first visit: every bundled workflow that needs no download, from the Templates browser to scrubbing its grid, and the first one, and that of splats, in Vue nodes as well.
// What the players showed goes to FOURREAL_SHOWN; tests/host/test_in_browser.py compares it with the grids, which are saved as first_visit/*.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { Visit, workflowsToVisit } from "../first_visit.mjs";
import { openEditor } from "../harness.mjs";
import { Player } from "../players.mjs";
import { SplatPlayer } from "../splat_players.mjs";

const BLOCKS = [8, 6]; // of the picture, across and down
const EDGE = 0.06; // of the picture, left out: frames and marks
const shown = []; // {grid, view, time, blocks: mean colours}

let editor, visit;
before(async () => {
  editor = await openEditor();
  visit = new Visit(editor);
});
after(async () => {
  writeFileSync(process.env.FOURREAL_SHOWN, JSON.stringify({ edge: EDGE, shown }));
  await editor?.close();
});

async function note(grid, player) {
  await player.waitShown("any");
  const cell = await player.cell();
  const { picture } = await player.areas();
  shown.push({ grid, ...cell, blocks: await player.blocks(picture(EDGE, EDGE), picture(1 - EDGE, 1 - EDGE), BLOCKS) });
  return cell;
}

test("a run that is cancelled leaves the player as it was, and the next run works", async () => {
  const bulletTime = workflowsToVisit().find(({ name }) => name === "01_two_videos_to_bullet_time");
  await visit.openTemplate(bulletTime);
  await visit.change("FourRealSampler", "seed", 12345);
  await visit.change("FourRealBuildGrid", "width", 192);
  await visit.pressRun();
  await visit.pressCancel();
  assert.equal(await visit.over(), "execution_interrupted");
  const player = new Player(editor, await visit.player());
  assert.deepEqual(await player.inElement((element) => [element.dataset.shown ?? "", element.querySelector(".fourreal-player-message").textContent]), ["", "Run the workflow to see the grid here."]);
  await visit.change("FourRealSampler", "steps", 1);
  await visit.pressRun();
  assert.equal(await visit.over(), "execution_success");
  await player.waitShown("any");
});

for (const [renderer, vueNodes] of [["classic", false], ["vue", true]]) {
  for (const workflow of vueNodes ? workflowsToVisit().slice(0, 1) : workflowsToVisit()) {
    test(`${renderer}: ${workflow.name}, from the Templates browser to scrubbing`, async () => {
      await editor.set("Comfy.VueNodes.Enabled", vueNodes);
      await visit.openTemplate(workflow);
      for (const sampler of ["FourRealSampler", "KSampler"]) await visit.change(sampler, "steps", 1);
      await visit.change("FourRealBuildGrid", "width", 192); // the rest stays as it opened
      await visit.pressRun();
      assert.equal(await visit.over(), "execution_success");
      const id = await visit.player();
      const player = new Player(editor, id);
      const grid = `${workflow.name}_${renderer}`;
      assert.deepEqual(await note(grid, player), { view: 0, time: 0 });
      const { picture } = await player.areas();
      await player.drag(picture(0.1, 0.5), picture(0.6, 0.5));
      const across = await note(grid, player);
      assert.ok(across.time > 0 && across.view === 0, JSON.stringify(across));
      await player.drag(picture(0.5, 0.1), picture(0.5, 0.4));
      const down = await note(grid, player);
      assert.ok(down.view > 0 && down.time === across.time, JSON.stringify(down));
      await player.press("ArrowLeft", "ArrowUp");
      assert.deepEqual(await note(grid, player), { view: down.view - 1, time: down.time - 1 });
      await player.press("End", "PageDown");
      await note(grid, player);
      await visit.saveGrid(id, `first_visit/${grid}`);
      await visit.deleteNode(id);
      assert.equal(await editor.page.evaluate(() => document.querySelectorAll(".fourreal-player").length), 0);
    });
  }
}

for (const [renderer, vueNodes] of [["classic", false], ["vue", true]]) {
  for (const workflow of workflowsToVisit("FourRealSplatPlayer")) {
    test(`${renderer}: ${workflow.name}, from the Templates browser to flying through the scene`, async () => {
      await editor.set("Comfy.VueNodes.Enabled", vueNodes);
      await visit.openTemplate(workflow);
      await visit.change("FourRealBuildGrid", "width", 128);
      await visit.change("FourRealFitSplats", "steps", 20); // the rest stays as it opened; in the second renderer it is in the cache
      await visit.pressRun();
      assert.equal(await visit.over(), "execution_success");
      const player = new SplatPlayer(editor, await visit.player("FourRealSplatPlayer"));
      await player.waitShown();
      assert.deepEqual(await player.at(), { view: 0, time: 0 });
      const before = await player.camera();
      await player.press("End", "Shift+ArrowRight");
      await player.waitShown();
      assert.deepEqual(await player.at(), { view: null, time: 7 });
      assert.notDeepEqual(await player.camera(), before);
    });
  }
}

test("the page had no error, neither ours nor another, in all this", () => {
  assert.deepEqual([visit.errors, editor.problems], [[], []]);
});
