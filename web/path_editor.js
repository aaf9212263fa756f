// 4Real Path in the editor: gives every such node a path editor. Everything else is in path_editor/, first of all view.mjs.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { PathView } from "./path_editor/view.mjs";
import { addStyles, addView, pictureLoader, showOutputs, writeWidget } from "./shared/in_node.mjs";

const NODE = "FourRealPath";
const PATH = "path";
const OUTPUT = "fourreal_path";
const PLACE = { name: "path_editor", output: OUTPUT, size: [880, 560], leastHeight: 320 };

function addEditor(node) {
  const path = node.widgets.find((widget) => widget.name === PATH);
  const editor = new PathView({
    loadPicture: pictureLoader(api),
    readPath: () => path.value,
    hasGrid: () => node.inputs.some(({ name, link }) => name === "grid" && link !== null && link !== undefined),
    writePath: (text) => {
      app.canvas.emitBeforeChange(); // one step of undo
      writeWidget(app, node, path, text);
      app.canvas.emitAfterChange();
    },
  });
  addView(app, node, editor, PLACE);
}

app.registerExtension({
  name: "fourreal.PathEditor",
  setup: () => addStyles(["shared/view.css", "path_editor/path.css"], import.meta.url),
  nodeCreated(node) {
    if (node.comfyClass === NODE) addEditor(node);
  },
  onNodeOutputsUpdated: (outputs) => showOutputs(app, outputs, NODE, OUTPUT),
});
