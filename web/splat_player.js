// 4Real Splat Player in the editor: gives every such node a player. Everything else is in splat_player/, first of all view.mjs.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { addStyles, addView, fileLoader, pictureLoader, showOutputs } from "./shared/in_node.mjs";
import { SplatView } from "./splat_player/view.mjs";

const NODE = "FourRealSplatPlayer";
const SETTINGS = "fourreal_splat_player"; // in node.properties
const OUTPUT = "fourreal_splat_player";
const PLACE = { name: "splat_player", output: OUTPUT, size: [600, 470], leastHeight: 260 };

function addPlayer(node) {
  const player = new SplatView({
    loadPicture: pictureLoader(api),
    loadFile: fileLoader(api),
    readSettings: () => node.properties[SETTINGS],
    writeSettings: (settings) => (node.properties[SETTINGS] = settings),
  });
  addView(app, node, player, PLACE);
}

app.registerExtension({
  name: "fourreal.SplatPlayer",
  setup: () => addStyles(["shared/view.css", "splat_player/splat_player.css"], import.meta.url),
  nodeCreated(node) {
    if (node.comfyClass === NODE) addPlayer(node);
  },
  onNodeOutputsUpdated: (outputs) => showOutputs(app, outputs, NODE, OUTPUT),
});
