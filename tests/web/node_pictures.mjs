// Takes the picture of every node of the pack in the real editor, after a real run: FOURREAL_PICTURES=folder node tests/web/node_pictures.mjs [node id ...]
// (further variables as in harness.mjs). What is in them: exhibits.mjs. scripts/pictures.py starts this and keeps the pictures.

import { join } from "node:path";

import { EXHIBITS, SOURCES } from "./exhibits.mjs";
import { openEditor } from "./harness.mjs";

const WIDTH = 380; // of a node, about that of the help panel
const GAP = 44; // between a node and what it makes; its title is in it
const CORNER = [360, 110]; // of the picture on the page, clear of the editor's own panels
const EDGE = 10;
const BADGES = { "Comfy.NodeBadge.NodeSourceBadgeMode": "None", "Comfy.NodeBadge.NodeIdBadgeMode": "None", "Comfy.Minimap.Visible": false, "Comfy.LinkRenderMode": -1 };

const editor = await openEditor({ zoom: 1.5, size: { width: 1700, height: 1500 } });
const { page } = editor;
for (const [name, value] of Object.entries(BADGES)) await editor.set(name, value);

const kinds = await page.evaluate(() => Object.keys(window.LiteGraph.registered_node_types).filter((name) => name.startsWith("FourReal")));
const wanted = process.argv.length > 2 ? process.argv.slice(2) : kinds;
const exhibits = wanted.map((kind) => ({ kind, rests: !EXHIBITS[kind], ...EXHIBITS[kind] }));
const groups = await page.evaluate(build, { sources: SOURCES, exhibits, width: WIDTH, gap: GAP });
const resting = exhibits.filter(({ rests }) => rests).flatMap(({ kind }) => groups[kind]);
await setModes(resting, "NEVER");
await editor.run();
await setModes(resting, "ALWAYS");
for (const { kind, move } of exhibits) {
  const [x, y, width, height] = await page.evaluate(bringIntoSight, { ids: groups[kind], corner: CORNER });
  if (move) await pressKeys(groups[kind][0], move);
  await page.waitForFunction(picturesArrived, groups[kind]);
  await page.waitForTimeout(1500); // videos arrive
  const clip = { x: x - EDGE, y: y - EDGE, width: width + 2 * EDGE, height: height + 2 * EDGE };
  await page.screenshot({ path: join(process.env.FOURREAL_PICTURES, `${kind}.png`), clip });
}
if (editor.problems.length) throw new Error(editor.problems.join("\n"));
await editor.close();

/** Nodes that stand alone, with inputs missing, take no part in the run. */
async function setModes(ids, mode) {
  await page.evaluate(([nodes, name]) => nodes.forEach((id) => (window.app.graph.getNodeById(id).mode = window.LiteGraph[name])), [ids, mode]);
  await editor.settle();
}

async function pressKeys(id, keys) {
  await page.evaluate((node) => window.app.graph.getNodeById(node).widgets.find(({ element }) => element).element.focus(), id);
  for (const key of keys) await page.keyboard.press(key);
  await page.evaluate(() => {
    document.activeElement.blur();
    window.app.canvas.deselectAll();
  });
}

/** In the page: make all nodes and their connections; returns the ids of each picture's nodes by kind. */
function build({ sources, exhibits, width, gap }) {
  const { app, LiteGraph } = window;
  const made = {};
  const add = (type, pos, { set = {}, from = {}, size } = {}) => {
    const node = LiteGraph.createNode(type);
    node.pos = pos;
    app.graph.add(node);
    for (const [name, value] of Object.entries(set)) {
      const widget = node.widgets.find((each) => each.name === name);
      widget.value = value;
      widget.callback?.(value, app.canvas, node);
    }
    for (const [name, [source, output]] of Object.entries(from)) connect(made[source], output, node, name);
    const [wide, high] = size ?? [Math.max(width, node.size[0]), node.size[1]];
    node.setSize([wide, high]);
    return node;
  };
  const connect = (source, output, node, name) => {
    const slot = typeof output === "number" ? output : source.outputs.findIndex((each) => each.name === output);
    const input = node.inputs.findIndex((each) => each.name === name);
    if (slot < 0 || input < 0) throw new Error(`${source.type}.${output} cannot go into ${node.type}.${name}`);
    source.connect(slot, node, input);
  };
  Object.entries(sources).forEach(([name, { type, ...given }], index) => (made[name] = add(type, [-3000, index * 700], given)));
  const viewers = { images: ["PreviewImage", "images"], grid: ["PreviewImage", "images"], video: ["SaveVideo", "video"] };
  const groups = {};
  exhibits.forEach(({ kind, shows, apart, high = 310, ...given }, index) => {
    const node = add(kind, [0, index * 2000], given);
    groups[kind] = [node.id];
    if (!shows) return;
    const [output, what] = shows;
    const [viewer, input] = viewers[what];
    const shown = add(viewer, [apart ? -2000 : 0, index * 2000 + node.size[1] + gap], { size: [node.size[0], what === "video" ? high + 70 : high] });
    if (what === "grid") {
      const sheet = add("FourRealContactSheet", [-1500, index * 2000]);
      connect(node, output, sheet, "grid");
      connect(sheet, 0, shown, input);
      shown.title = "The grid, through 4Real Contact Sheet";
    } else connect(node, output, shown, input);
    if (!apart) groups[kind].push(shown.id);
  });
  return groups;
}

/** In the page: whether the previews among these nodes, and nodes that show pictures of their own, have all of them. */
function picturesArrived(ids) {
  const showsPictures = ({ images, animated } = {}) => images && !animated?.[0]; // not a video
  const previews = ids.map((id) => window.app.graph.getNodeById(id)).filter(({ id, type }) => type === "PreviewImage" || showsPictures(window.app.nodeOutputs[id]));
  return previews.every(({ imgs }) => imgs?.length && imgs.every(({ complete }) => complete));
}

/** In the page: move these nodes to a place on the page; returns the box around them there. */
function bringIntoSight({ ids, corner }) {
  const { graph, canvas } = window.app;
  const title = window.LiteGraph.NODE_TITLE_HEIGHT;
  const nodes = ids.map((id) => graph.getNodeById(id));
  const [left, top] = [Math.min(...nodes.map(({ pos }) => pos[0])), Math.min(...nodes.map(({ pos }) => pos[1])) - title];
  const [right, bottom] = [0, 1].map((axis) => Math.max(...nodes.map(({ pos, size, flags }) => pos[axis] + (flags.collapsed ? 0 : size[axis]))));
  const box = canvas.canvas.getBoundingClientRect();
  canvas.ds.scale = 1;
  canvas.ds.offset[0] = corner[0] - box.x - left;
  canvas.ds.offset[1] = corner[1] - box.y - top;
  canvas.deselectAll();
  canvas.setDirty(true, true);
  return [corner[0], corner[1], right - left, bottom - top];
}
