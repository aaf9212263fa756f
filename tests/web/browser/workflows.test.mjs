// Every bundled workflow in the real editor, in both renderers: it opens readable, all nodes known, links and values kept, nothing covers anything.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { openEditor } from "../harness.mjs";

const FOLDER = new URL("../../../workflows/", import.meta.url);
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
const READABLE = 0.57; // the scale below which the classic renderer draws nodes as empty boxes
const MARGIN = 2; // pixels of the graph
const FAR = 0.1; // a scale at which the largest workflow is in sight, so that the renderer draws all of it

let editor;
before(async () => (editor = await openEditor({ size: { width: 1600, height: 950 } })));
after(() => editor?.close());

const endsOf = (links) => links.map(([, ...ends]) => JSON.stringify(ends)).sort();

/** Type and place [left, top, right, bottom] of every node as it is drawn, in the graph's own units. */
function drawnNodes() {
  return editor.page.evaluate(() => {
    const { graph, canvas } = window.app;
    const place = (node) => {
      const element = document.querySelector(`.lg-node[data-node-id="${node.id}"]`);
      if (!element) {
        const [x, y, width, height] = node.getBounding();
        return [x, y, x + width, y + height];
      }
      const { left, top, right, bottom } = element.getBoundingClientRect();
      return [left, top, right, bottom].map((side) => side / canvas.ds.scale);
    };
    return graph.nodes.map((node) => ({ name: `${node.id} ${node.type}`, known: node.type in window.LiteGraph.registered_node_types, place: place(node) }));
  });
}

/** Open a workflow as from the Templates browser; its scale then, and the nodes that the minimap covers. */
function openAsTemplate(workflow, name) {
  return editor.page.evaluate(
    async ([given, title]) => {
      await window.app.loadGraphData(given, true, true, title, { openSource: "template" });
      await new Promise((done) => setTimeout(done, 500));
      const { graph, canvas } = window.app;
      const map = document.querySelector(".litegraph-minimap").getBoundingClientRect();
      const page = canvas.canvas.getBoundingClientRect();
      const { scale, offset } = canvas.ds;
      const under = graph.nodes.filter((node) => {
        const [x, y, width, height] = node.getBounding();
        const right = page.x + (x + width + offset[0]) * scale;
        const bottom = page.y + (y + height + offset[1]) * scale;
        return right > map.x && bottom > map.y;
      });
      return { scale, under: under.map(({ id, type }) => `${id} ${type}`) };
    },
    [workflow, name],
  );
}

const covers = ([left, top, right, bottom], other) =>
  left + MARGIN < other[2] && other[0] + MARGIN < right && top + MARGIN < other[3] && other[1] + MARGIN < bottom;

for (const [renderer, vueNodes] of [["classic", false], ["Vue nodes", true]]) {
  for (const file of FILES) {
    test(`${renderer}: ${file} opens readable and whole, and nothing covers anything`, async () => {
      const workflow = JSON.parse(readFileSync(new URL(file, FOLDER)));
      await editor.set("Comfy.VueNodes.Enabled", vueNodes);
      const { scale, under } = await openAsTemplate(workflow, file);
      assert.ok(scale >= READABLE, `it opens at ${scale}`);
      assert.deepEqual(under, [], "under the minimap");
      await editor.load(workflow, { scale: FAR });
      await editor.page.waitForFunction((wanted) => document.querySelectorAll(".lg-node").length === wanted, vueNodes ? workflow.nodes.length : 0);
      await editor.settle();
      const nodes = await drawnNodes();
      assert.deepEqual(nodes.filter(({ known }) => !known), []);
      const overlaps = nodes.flatMap((node, index) => nodes.slice(index + 1).filter((other) => covers(node.place, other.place)).map((other) => `${node.name} and ${other.name}`));
      assert.deepEqual(overlaps, []);
      const saved = await editor.saved();
      assert.deepEqual(endsOf(saved.links), endsOf(workflow.links));
      for (const { id, type, widgets_values: values } of workflow.nodes) {
        const now = saved.nodes.find((node) => node.id === id).widgets_values ?? [];
        assert.deepEqual(now.slice(0, values.length), values, `${id} ${type}`);
      }
    });
  }
}

test("nothing went wrong on the page", () => assert.deepEqual(editor.problems, []));
