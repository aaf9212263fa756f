// Where a player can be: inside a subgraph, in a workflow tab that was left and opened again. It keeps showing its grid there, and what is left frees its pictures.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { openEditor } from "../harness.mjs";
import { Player, playerWorkflow } from "../players.mjs";

const { file: FILE } = JSON.parse(readFileSync(process.env.FOURREAL_GRID_COLORS));

let editor;
before(async () => {
  editor = await openEditor();
  await editor.page.evaluate(() => {
    window.bitmaps = { made: 0, closed: 0 };
    const { createImageBitmap: make } = window;
    const { close } = ImageBitmap.prototype;
    window.createImageBitmap = async (...given) => {
      const bitmap = await make(...given);
      window.bitmaps.made += 1;
      return bitmap;
    };
    ImageBitmap.prototype.close = function () {
      window.bitmaps.closed += 1;
      return close.call(this);
    };
  });
});
after(() => editor?.close());

const allClosed = () => editor.page.waitForFunction(() => window.bitmaps.made > 0 && window.bitmaps.made === window.bitmaps.closed);
const tabs = () => editor.page.locator(".workflow-tabs .workflow-label");

/** Wait until the only player on the page shows its grid. */
async function shows() {
  await editor.page.waitForFunction(() => {
    const seen = [...document.querySelectorAll(".fourreal-player")].filter((element) => element.querySelector("canvas").clientWidth > 0);
    return seen.length === 1 && seen[0].dataset.shown && seen[0].dataset.state === "rest";
  });
}

async function enterSubgraph() {
  await editor.page.evaluate(() => {
    const node = window.app.graph.nodes.find(({ subgraph }) => subgraph);
    window.app.canvas.openSubgraph(node.subgraph, node);
  });
}

/** Load a player, put it into a subgraph and run from outside. */
async function runInsideSubgraph() {
  await editor.load(playerWorkflow(FILE));
  await editor.page.evaluate(() => {
    const { graph } = window.app;
    graph.convertToSubgraph(new Set([graph.getNodeById(2)]));
  });
  await editor.settle();
  await editor.run();
  await enterSubgraph();
  await shows();
}

/**
 * Go to the first tab, wait until the pictures of the one that was left are freed, and come back. (A new blank tab, opened from within a subgraph while
 * there is a blank one already, makes the host forget what every node of the left tab has put out.)
 */
async function leaveAndComeBack() {
  const mine = await tabs().evaluateAll((all) => all.findIndex((tab) => tab.closest('[aria-selected="true"], [aria-pressed="true"]')));
  await tabs().first().click();
  await editor.page.waitForFunction(() => window.app.graph.nodes.length !== 2);
  await allClosed();
  await tabs().nth(mine).click();
  await editor.page.waitForFunction(() => window.app.graph.nodes.length === 2);
}

for (const [renderer, vueNodes] of [["classic", false], ["Vue nodes", true]]) {
  test(`${renderer}: back in its workflow tab, a player shows its grid again`, async () => {
    await editor.set("Comfy.VueNodes.Enabled", vueNodes);
    await editor.load(playerWorkflow(FILE));
    await editor.run();
    await new Player(editor).waitShown("any");
    await leaveAndComeBack();
    await shows();
  });

  test(`${renderer}: inside a subgraph a player shows its grid, also after another workflow tab was open`, async () => {
    await runInsideSubgraph();
    await leaveAndComeBack();
    await enterSubgraph();
    await shows();
  });

  test(`${renderer}: a player that plays inside a subgraph stops when the subgraph is left, and goes on inside`, async () => {
    await runInsideSubgraph();
    const steps = () =>
      editor.page.evaluate(async () => {
        let draws = 0;
        const { clearRect } = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.clearRect = function (...given) {
          if (this.canvas.parentElement?.className === "fourreal-view-stage") draws += 1;
          return clearRect.apply(this, given);
        };
        await new Promise((done) => setTimeout(done, 700));
        CanvasRenderingContext2D.prototype.clearRect = clearRect;
        return draws;
      });
    await editor.page.locator('.fourreal-player [data-action="play"]').click();
    assert.ok((await steps()) > 1, "it does not play inside");
    await editor.page.evaluate(() => window.app.canvas.setGraph(window.app.graph));
    await editor.settle();
    assert.ok((await steps()) <= 1, "it plays unseen");
    await enterSubgraph();
    await editor.settle();
    assert.ok((await steps()) > 1, "it does not go on");
  });

  test(`${renderer}: a subgraph that is deleted frees the pictures of the player in it`, async () => {
    await runInsideSubgraph();
    await editor.page.evaluate(() => {
      const { app } = window;
      app.canvas.setGraph(app.graph);
      app.graph.remove(app.graph.nodes.find(({ subgraph }) => subgraph));
    });
    await editor.load(playerWorkflow(FILE)); // at the latest now
    await allClosed();
  });
}

test("a player is as wide as its node while the properties panel lists it", async () => {
  await editor.set("Comfy.VueNodes.Enabled", false);
  await editor.load(playerWorkflow(FILE));
  await editor.run();
  const player = new Player(editor);
  await player.waitShown("any");
  const { width } = await player.box();
  const toggle = editor.page.getByLabel("Toggle properties panel");
  await toggle.click();
  await player.click(0.3, 0.3);
  await editor.page.getByText("player", { exact: true }).waitFor();
  await editor.page.waitForTimeout(500);
  assert.equal((await player.box()).width, width);
  await toggle.last().click();
});

test("nothing went wrong on the page in all this", () => {
  assert.deepEqual(editor.problems, []);
});
