// 4Real Grid Player in the editor: gives every such node a player. Everything else is in player/, first of all view.mjs.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { fileRoute } from "./player/payload.mjs";
import { PlayerView } from "./player/view.mjs";

const NODE = "FourRealGridPlayer";
const MARKS = "marked_cells";
const SETTINGS = "fourreal_player"; // in node.properties
const SIZE = [560, 520];
const LEAST_HEIGHT = 260;

const players = new WeakMap(); // node -> PlayerView

async function loadPicture(file, grid, signal) {
  const answer = await api.fetchApi(fileRoute(grid, file), { signal });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return createImageBitmap(await answer.blob());
}

function addPlayer(node) {
  const marks = node.widgets.find((widget) => widget.name === MARKS);
  const player = new PlayerView({
    loadPicture,
    readMarks: () => marks.value,
    writeMarks: (text) => {
      marks.value = text;
      marks.callback?.(text, app.canvas, node);
    },
    readSettings: () => node.properties[SETTINGS],
    writeSettings: (settings) => (node.properties[SETTINGS] = settings),
  });
  const widget = node.addDOMWidget("player", "fourreal_player", player.element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => LEAST_HEIGHT,
    onDraw: () => player.zoomed(),
  });
  widget.serialize = false;
  node.setSize([Math.max(node.size[0], SIZE[0]), Math.max(node.size[1], SIZE[1])]);
  forwardToGraph(player);
  players.set(node, player);
  follow(node, player);
}

/** Tell the player what happens to its node. */
function follow(node, player) {
  const { onExecuted, onConfigure, onRemoved } = node;
  node.onExecuted = function (output) {
    onExecuted?.apply(this, arguments);
    showOutput(this, output);
  };
  node.onConfigure = function () {
    onConfigure?.apply(this, arguments);
    player.restore(); // the widget and the properties have their saved values from here on
    showOutput(this, app.nodeOutputs?.[this.id]);
  };
  node.onRemoved = function () {
    onRemoved?.apply(this, arguments);
    player.close();
    players.delete(this);
  };
}

function showOutput(node, output) {
  const sent = output?.fourreal_player?.[0];
  if (sent) players.get(node)?.show(sent);
}

/** In the classic renderer the element lies over the graph's canvas: the wheel zooms and the middle button moves the graph all the same. */
function forwardToGraph(player) {
  const { signal } = player.closing;
  const forward = (name, handle, wanted) =>
    player.element.addEventListener(
      name,
      (event) => {
        if (!wanted(event) || player.element.closest(".lg-node") || document.fullscreenElement) return;
        event.preventDefault();
        app.canvas[handle](event);
      },
      { signal, passive: false },
    );
  forward("wheel", "processMouseWheel", () => true);
  forward("pointerdown", "processMouseDown", (event) => event.button === 1);
  forward("pointermove", "processMouseMove", (event) => (event.buttons & 4) !== 0);
  forward("pointerup", "processMouseUp", (event) => event.button === 1);
}

function addStyle() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("player/player.css", import.meta.url).href;
  document.head.append(style);
}

app.registerExtension({
  name: "fourreal.GridPlayer",
  setup: addStyle,
  nodeCreated(node) {
    if (node.comfyClass === NODE) addPlayer(node);
  },
  /** The outputs of another workflow tab came back. */
  onNodeOutputsUpdated(outputs) {
    for (const node of app.graph?.nodes ?? []) if (node.comfyClass === NODE) showOutput(node, outputs[node.id]);
  },
});
