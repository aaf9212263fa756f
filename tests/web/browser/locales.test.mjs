// The pack's nodes in the editor in another language: titles, names and tooltips are those of locales/<language>.
//
// One language shows that all are found; FOURREAL_LANGUAGES=zh,ja,ko looks at more. That nothing lacks in any is tested without a browser.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";

import { openEditor } from "../harness.mjs";

const LOCALES = new URL("../../../locales/", import.meta.url);
const setLocale = (language) =>
  fetch(`${process.env.FOURREAL_HOST}/settings`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ "Comfy.Locale": language, "LiteGraph.Node.TooltipDelay": 50, "Comfy.EnableTooltips": true }),
  });

after(() => setLocale("en"));

/** A node of this type in the empty editor, and what it shows: its title, and its widgets' and slots' labels by name. */
function added(editor, type, values = {}) {
  return editor.page.evaluate(
    ([kind, given]) => {
      const node = window.LiteGraph.createNode(kind);
      window.app.graph.clear();
      window.app.graph.add(node);
      node.pos = [60, 60];
      for (const [name, value] of Object.entries(given)) node.widgets.find((widget) => widget.name === name).value = value;
      const { ds } = window.app.canvas;
      [ds.scale, ds.offset[0], ds.offset[1]] = [1, 60, 60];
      window.app.canvas.setDirty(true, true);
      const label = (each) => [each.name, each.label ?? each.localized_name ?? each.name];
      return {
        id: node.id,
        title: node.title,
        description: window.LiteGraph.registered_node_types[kind].nodeData.description,
        category: window.LiteGraph.registered_node_types[kind].category,
        widgets: Object.fromEntries((node.widgets ?? []).map(label)),
        inputs: Object.fromEntries(node.inputs.map(label)),
        outputs: node.outputs.map((each) => each.label ?? each.localized_name ?? each.name),
      };
    },
    [type, values],
  );
}

/** The tooltip over a widget or an input's slot; tried again, because the editor shows it only after a rest of the pointer. */
async function tooltip(editor, id, name) {
  const shown = editor.page.locator(".node-tooltip");
  for (let trial = 0; trial < 40; trial += 1) {
    const [x, y] = await place(editor, id, name);
    await editor.page.mouse.move(x + 300, y + 300);
    await editor.page.waitForTimeout(200);
    await editor.page.mouse.move(x, y);
    await editor.page.waitForTimeout(200);
    await editor.page.mouse.move(x + 1, y);
    await editor.page.waitForTimeout(600);
    if (await shown.isVisible()) return shown.innerText();
  }
  throw new Error(`no tooltip over ${name}`);
}

/** Where a widget's or slot's middle is on the page. */
function place(editor, id, name) {
  return editor.page.evaluate(
    ([node, wanted]) => {
      const found = window.app.graph.getNodeById(node);
      const widget = found.widgets?.find((each) => each.name === wanted);
      const local = widget ? [found.pos[0] + found.size[0] / 2, found.pos[1] + widget.y + 10] : found.getInputPos(found.findInputSlot(wanted));
      const { ds } = window.app.canvas;
      return [(local[0] + ds.offset[0]) * ds.scale, (local[1] + ds.offset[1]) * ds.scale];
    },
    [id, name],
  );
}

for (const language of (process.env.FOURREAL_LANGUAGES ?? "zh").split(",")) {
  test(`${language}: nodes show their title, names and tooltips in this language`, async () => {
    await setLocale(language);
    const texts = JSON.parse(readFileSync(new URL(`${language}/nodeDefs.json`, LOCALES)));
    const editor = await openEditor();
    try {
      const { FourRealTwoStream: streams, FourRealGridToVideo: video } = texts;
      const node = await added(editor, "FourRealTwoStream");
      assert.equal(node.title, streams.display_name);
      assert.equal(node.description, streams.description);
      assert.equal(node.widgets.strength, streams.inputs.strength.name);
      assert.equal(node.inputs.model, streams.inputs.model.name);
      assert.equal(await tooltip(editor, node.id, "strength"), streams.inputs.strength.tooltip);
      await look(editor, language);

      const path = await added(editor, "FourRealGridToVideo", { path: "fixed view" });
      assert.equal(path.title, video.display_name);
      assert.equal(path.widgets["path.view"], video.inputs.path_view.name);
      assert.equal(path.outputs[1], video.outputs[1].name);
      const groups = JSON.parse(readFileSync(new URL(`${language}/main.json`, LOCALES))).nodeCategories;
      assert.equal(path.category, `4Real/${groups.view}`);
      assert.deepEqual(editor.problems, []);
    } finally {
      await editor.close();
    }
  });
}

/** A picture of the editor with its tooltip, where FOURREAL_PICTURES names a folder. */
async function look(editor, language) {
  const folder = process.env.FOURREAL_PICTURES;
  if (folder) await editor.page.screenshot({ path: `${folder}/locale_${language}.png` });
}
