// 4Real Measure Grid and 4Real Compare Grids in both renderers: text, JSON, heat map, plot and table arrive, and one click in the player marks the cell that is broken.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { openEditor, workflowOf } from "../harness.mjs";
import { GRID, Player } from "../players.mjs";

const { files: FILES } = JSON.parse(readFileSync(process.env.FOURREAL_GRID_COLORS));
const SHOTS = process.env.FOURREAL_MEASURING_SHOTS; // a folder for screenshots, if wanted
const [TORN, MEASURE, REPORT, NUMBERS, SHEET, PLOT, PLAYER, MOVING, FROZEN, COMPARE, TABLE, PICTURE] = Array.from({ length: 12 }, (_, index) => index + 1);
const MEASURED = [["report", "STRING"], ["numbers", "STRING"], ["sheet", "IMAGE"], ["plot", "IMAGE"], ["heat", "IMAGE"]];
const COMPARED = [["report", "STRING"], ["numbers", "STRING"], ["picture", "IMAGE"]];

const load = (id, name, y) => ({ id, type: "FourRealLoadGrid", pos: [0, y], size: [280, 80], values: [FILES[name]], outputs: [["grid", GRID]] });
const text = (id, pos, from, size) => ({ id, type: "PreviewAny", pos, size, values: [], inputs: { source: from } });
const images = (id, pos, from, size) => ({ id, type: "PreviewImage", pos, size, inputs: { images: from } });

function measuringWorkflow() {
  return workflowOf([
    load(TORN, "torn", 0),
    { id: MEASURE, type: "FourRealMeasureGrid", pos: [320, 0], size: [260, 260], values: ["", false], inputs: { grid: [TORN, 0, GRID] }, outputs: MEASURED },
    text(REPORT, [620, 0], [MEASURE, 0, "*"], [420, 300]),
    text(NUMBERS, [0, 320], [MEASURE, 1, "*"], [280, 260]),
    images(SHEET, [1080, 0], [MEASURE, 2, "IMAGE"], [420, 300]),
    images(PLOT, [1080, 340], [MEASURE, 3, "IMAGE"], [420, 300]),
    { id: PLAYER, type: "FourRealGridPlayer", pos: [320, 340], size: [720, 480], values: ["[]"], inputs: { grid: [TORN, 0, GRID], confidence: [MEASURE, 4, "IMAGE"] }, outputs: [["to_redo", GRID]] },
    load(MOVING, "moving", 140),
    load(FROZEN, "frozen", 620),
    { id: COMPARE, type: "FourRealCompareGrids", pos: [0, 860], size: [280, 200], values: ["moving, torn, frozen"], inputs: { "fills.grid0": [MOVING, 0, GRID], "fills.grid1": [TORN, 0, GRID], "fills.grid2": [FROZEN, 0, GRID] }, outputs: COMPARED },
    text(TABLE, [320, 860], [COMPARE, 0, "*"], [720, 480]),
    images(PICTURE, [1080, 700], [COMPARE, 2, "IMAGE"], [600, 400]),
  ]);
}

let editor;
before(async () => (editor = await openEditor({ size: { width: 1800, height: 1500 } })));
after(() => editor?.close());

const textOf = (id) => editor.page.evaluate((node) => window.app.nodeOutputs[node].text.join("\n"), id);
const picturesOf = (id) => editor.page.evaluate((node) => window.app.nodeOutputs[node].images.length, id);
/** What a text node shows, whatever the renderer makes it of. */
const shownIn = (id) => editor.page.evaluate((node) => window.app.graph.getNodeById(node).widgets.map(({ value }) => `${value}`).join("\n"), id);

for (const [renderer, vueNodes] of [["classic", false], ["Vue nodes", true]]) {
  test(`${renderer}: a torn cell is told, drawn, and marked with one click; a frozen grid wins with a warning`, async () => {
    await editor.set("Comfy.VueNodes.Enabled", vueNodes);
    await editor.load(measuringWorkflow());
    await editor.run();
    const report = await textOf(REPORT);
    assert.match(report, /^Acceleration along time: .* %W \(lower is better: good 0\.05, bad 0\.4\)$/m);
    assert.match(await shownIn(REPORT), /^Amount of motion: [\d.]+ %W$/m);
    const numbers = JSON.parse(await textOf(NUMBERS));
    const cells = numbers.support.cells.flat();
    assert.equal(cells.indexOf(Math.max(...cells)), 2 * 5 + 3, "view 3 at time 4 is what no neighbour supports");
    for (const id of [SHEET, PLOT, PICTURE]) assert.equal(await picturesOf(id), 1);

    const table = await textOf(TABLE);
    const [head] = table.split("\n");
    assert.equal(head, "| metric | better | moving | torn | frozen | winner |");
    assert.match(table, /^\| Unsupported pixels, % \| lower \| .* \| (frozen\?|moving) \|$/m);
    assert.match(table, /^\| \*Amount of motion, %W\* \| {2}\| [\d.]+ \| [\d.]+ \| [\d.]+ \| {2}\|$/m);
    assert.match(table, /^Beware: frozen moves less \(/m);

    const player = new Player(editor, PLAYER);
    await player.waitShown("any");
    await player.button("worst");
    assert.equal(await player.marks(), "[[2,3]]");
    if (SHOTS) {
      await editor.page.waitForTimeout(2500);
      await editor.page.screenshot({ path: `${SHOTS}/measuring_${vueNodes ? "vue" : "classic"}.png` });
    }
    assert.deepEqual(editor.problems, []);
  });
}
