// 4Real Grid Player in the editor: gives every such node a player. Everything else is in player/, first of all view.mjs.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { PlayerView } from "./player/view.mjs";
import { addStyles, addView, closeGone, pictureLoader, showOutputs, writeWidget } from "./shared/in_node.mjs";

const NODE = "FourRealGridPlayer";
const MARKS = "marked_cells";
const SETTINGS = "fourreal_player"; // in node.properties
const OUTPUT = "fourreal_player";
const PLACE = { name: "player", output: OUTPUT, size: [560, 520], leastHeight: 260 };

function addPlayer(node) {
  const marks = node.widgets.find((widget) => widget.name === MARKS);
  const player = new PlayerView({
    loadPicture: pictureLoader(api),
    request: (route, options) => api.fetchApi(route, options),
    readMarks: () => marks.value,
    writeMarks: (text) => writeWidget(app, node, marks, text),
    readSettings: () => node.properties[SETTINGS],
    beginChange: () => app.canvas.emitBeforeChange(),
    endChange: () => app.canvas.emitAfterChange(),
    writeSettings: (settings) => (node.properties[SETTINGS] = settings),
  });
  addView(app, node, player, PLACE);
}

app.registerExtension({
  name: "fourreal.GridPlayer",
  setup: () => addStyles(["shared/view.css", "player/player.css"], import.meta.url),
  nodeCreated(node) {
    if (node.comfyClass === NODE) addPlayer(node);
  },
  afterConfigureGraph: () => closeGone(app), // for all views, whatever kind of node they are in
  onNodeOutputsUpdated: (outputs) => showOutputs(app, outputs, NODE, OUTPUT),
});
