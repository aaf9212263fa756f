// How a view of a grid lives in its node: its place, what the node tells it, and the graph around it. Entry scripts pass the host's `app` and `api`.
//
// A view has element, closing (an AbortController), show(what nodes/player.py sent), restore() after the saved values have arrived, zoomed() and close();
// it may have leave(), what its successor in the same node shall know, and arrive(that) while undo puts the same outputs into new nodes.

import { fileRoute } from "./payload.mjs";

const views = new Map(); // node -> view, as long as the node is in a graph
const left = new Map(); // name of a node -> what its closed view left for its successor

/** loadPicture(file, grid, signal) -> Promise of a decoded picture. */
export function pictureLoader(api) {
  return async (file, grid, signal) => {
    const answer = await api.fetchApi(fileRoute(grid, file), { signal });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    return createImageBitmap(await answer.blob());
  };
}

/** loadFile(file, described, signal) -> Promise of its bytes, an ArrayBuffer. */
export function fileLoader(api) {
  return async (file, described, signal) => {
    const answer = await api.fetchApi(fileRoute(described, file), { signal });
    if (answer.status === 404) throw new Error("The file of the splats is no longer on the server: run the workflow again.");
    if (!answer.ok) throw new Error(`The file of the splats could not be loaded: the server answered ${answer.status}.`);
    return answer.arrayBuffer();
  };
}

/** Put a view into its node. `output`: the name of what the node's run sends for it. */
export function addView(app, node, view, { name, output, size, leastHeight }) {
  const widget = node.addDOMWidget(name, `fourreal_${name}`, view.element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => leastHeight,
    onDraw: () => view.zoomed(),
  });
  widget.serialize = false;
  // The host's properties panel gives every widget that it lists its own width, in the node too; without one a widget is as wide as the node.
  Object.defineProperty(widget, "width", { get: () => undefined, set: () => {} });
  node.setSize([Math.max(node.size[0], size[0]), Math.max(node.size[1], size[1])]);
  forwardToGraph(app, view);
  follow(app, node, view, output);
}

/** The outputs of another workflow tab came back. */
export function showOutputs(app, outputs, kind, output) {
  const root = app.rootGraph ?? app.graph;
  const graphs = root ? [root, ...(root.subgraphs?.values() ?? [])] : [];
  for (const node of graphs.flatMap(({ nodes }) => nodes)) if (node.comfyClass === kind) showOutput(node, outputs[place(node)], output);
}

/** Another workflow is open: close what is no longer in it. The host does not tell the nodes inside a subgraph that they are gone. */
export function closeGone(app) {
  const root = app.rootGraph ?? app.graph;
  for (const node of [...views.keys()]) {
    const { id, graph } = node;
    const open = graph && (graph === root || root.subgraphs?.get(graph.id) === graph);
    if (!open || graph.getNodeById(id) !== node) close(node);
  }
}

/** Load style sheets, each once however many kinds of view ask for it. `base`: the address that the files are relative to. */
export function addStyles(files, base) {
  for (const { href } of files.map((file) => new URL(file, base))) {
    if (document.querySelector(`link[href="${href}"]`)) continue;
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href }));
  }
}

/** Change a widget as the user would. */
export function writeWidget(app, node, widget, text) {
  widget.value = text;
  widget.callback?.(text, app.canvas, node);
}

/** Tell the view what happens to its node. */
function follow(app, node, view, output) {
  const { onAdded, onExecuted, onConfigure, onConnectionsChange, onRemoved } = node;
  node.onAdded = function () {
    onAdded?.apply(this, arguments);
    views.set(this, view);
  };
  node.onExecuted = function (sent) {
    onExecuted?.apply(this, arguments);
    showOutput(this, sent, output);
  };
  node.onConfigure = function () {
    onConfigure?.apply(this, arguments);
    takeOver(this, view);
    view.restore(); // the widget and the properties have their saved values from here on
    showOutput(this, app.nodeOutputs?.[place(this)], output);
    view.arrive?.(undefined); // what a run gives later is looked at from its beginning
  };
  node.onConnectionsChange = function () {
    onConnectionsChange?.apply(this, arguments);
    view.drawSoon();
  };
  node.onRemoved = function () {
    onRemoved?.apply(this, arguments);
    close(this);
  };
}

function close(node) {
  const view = views.get(node);
  if (!view) return;
  left.set(nameOf(node), view.leave?.());
  view.close();
  view.element.dataset.closed = nameOf(node);
  view.element.style.display = "none";
  views.delete(node);
}

/**
 * Take the place of the closed view of the same node. When undo makes all nodes anew, the Vue renderer keeps what it drew for a node of the same name,
 * with the old element in it; so a closed element stays where it is until the host removes it, or its successor comes. The classic renderer gives
 * each element a place of its own.
 */
function takeOver(node, view) {
  const name = nameOf(node);
  view.arrive?.(left.get(name));
  left.delete(name);
  for (const closed of document.querySelectorAll(".lg-node [data-closed]")) if (closed.dataset.closed === name) closed.replaceWith(view.element);
}

function nameOf(node) {
  return `${node.comfyClass} ${place(node)}`;
}

/** The name of a node among all outputs: with that of its subgraph where it is in one. */
function place({ id, graph }) {
  return graph && graph.isRootGraph === false ? `${graph.id}:${id}` : String(id);
}

function showOutput(node, sent, output) {
  const shown = sent?.[output]?.[0];
  if (shown) views.get(node)?.show(shown);
}

/** In the classic renderer the element lies over the graph's canvas: the wheel zooms and the middle button moves the graph all the same. */
function forwardToGraph(app, view) {
  const { signal } = view.closing;
  const forward = (name, handle, wanted) =>
    view.element.addEventListener(
      name,
      (event) => {
        if (!wanted(event) || view.element.closest(".lg-node") || document.fullscreenElement) return;
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
