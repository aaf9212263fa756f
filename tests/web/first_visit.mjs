// What a first-time user does with the mouse: opens a bundled workflow in the Templates browser, runs it, cancels it, deletes a node.

import { readFileSync, readdirSync } from "node:fs";

const PACK = "ComfyUI-4Real-Video"; // the folder that scripts/comfyui.py installs the pack under
const WORKFLOWS = new URL("../../workflows/", import.meta.url);
const RUN_MS = 300_000;

/** [{name, nodes}] of the bundled workflows that run without downloads and end in a player of this kind. */
export function workflowsToVisit(player = "FourRealGridPlayer") {
  const files = readdirSync(WORKFLOWS).filter((file) => file.endsWith(".json")).sort();
  const workflows = files.map((file) => ({ name: file.slice(0, -5), nodes: JSON.parse(readFileSync(new URL(file, WORKFLOWS))).nodes }));
  const has = (nodes, type) => nodes.some((node) => node.type === type);
  return workflows.filter(({ nodes }) => has(nodes, player) && !nodes.some((node) => node.properties?.models?.length));
}

/** Newer editors ask other servers about the models of their own default workflow, which the page's policy refuses: nothing of ours. */
function elsewhere(text) {
  const asked = /^(?:Connecting to|Fetch API cannot load) '?(https?:\/\/[^'\s]+)/.exec(text)?.[1];
  return Boolean(asked) && new URL(asked).origin !== new URL(process.env.FOURREAL_HOST).origin && text.includes("Content Security Policy");
}

export class Visit {
  constructor(editor) {
    Object.assign(this, { editor, page: editor.page, errors: [] });
    this.page.on("pageerror", (error) => this.errors.push(`${error.stack ?? error}`));
    this.page.on("console", (message) => {
      if (message.type() === "error" && !elsewhere(message.text())) this.errors.push(`${message.text()} ${message.location().url}`);
    });
  }

  /** Click through the Templates browser to one of our workflows, and wait until it is on the canvas. */
  async openTemplate({ name, nodes }) {
    await this.page.getByRole("button", { name: "Templates" }).first().click();
    const dialog = this.page.getByRole("dialog");
    await dialog.getByText(PACK).click();
    await dialog.getByText(name, { exact: true }).click();
    await dialog.waitFor({ state: "hidden" });
    await this.page.waitForFunction((count) => window.app.graph.nodes.length === count, nodes.length);
    await this.editor.settle();
  }

  /** Press Run; what it gives ends in `over`. */
  async pressRun() {
    await this.page.evaluate(() => {
      const { api } = window.comfyAPI.api;
      window.visit = { over: null, steps: 0 };
      for (const kind of ["execution_success", "execution_error", "execution_interrupted"]) {
        api.addEventListener(kind, ({ type, detail }) => (window.visit.over = detail?.exception_message ?? type), { once: true });
      }
      api.addEventListener("progress", () => (window.visit.steps += 1));
    });
    await this.page.getByTestId("queue-button").click();
  }

  /** "execution_success", "execution_interrupted" or the message of a node that failed. */
  async over() {
    await this.page.waitForFunction(() => window.visit.over, null, { timeout: RUN_MS });
    return this.page.evaluate(() => window.visit.over);
  }

  async pressCancel() {
    await this.page.waitForFunction(() => window.visit.steps > 0, null, { timeout: RUN_MS });
    await this.page.getByRole("button", { name: "Cancel current run" }).click();
  }

  /** The id of the open workflow's player. */
  player(kind = "FourRealGridPlayer") {
    return this.page.evaluate((type) => window.app.graph.nodes.find((node) => node.comfyClass === type).id, kind);
  }

  /** Set a widget of the first node of a kind, if there is one. */
  change(kind, name, value) {
    return this.page.evaluate(
      ([type, widget, given]) => {
        const node = window.app.graph.nodes.find(({ comfyClass }) => comfyClass === type);
        if (node) node.widgets.find((each) => each.name === widget).value = given;
      },
      [kind, name, value],
    );
  }

  /** Click a node's title and press Delete. */
  async deleteNode(id) {
    const [x, y] = await this.page.evaluate((node) => {
      const { pos, size } = window.app.graph.getNodeById(node);
      const { ds, canvas } = window.app.canvas;
      const box = canvas.getBoundingClientRect();
      const title = window.LiteGraph.NODE_TITLE_HEIGHT;
      return [box.x + (pos[0] + size[0] / 2 + ds.offset[0]) * ds.scale, box.y + (pos[1] - title / 2 + ds.offset[1]) * ds.scale];
    }, id);
    await this.page.mouse.click(x, y);
    await this.page.keyboard.press("Delete");
    await this.page.waitForFunction((node) => !window.app.graph.getNodeById(node), id);
  }

  /** Save the grid that a player shows, as `prefix`_*; everything before it is in the host's cache. */
  async saveGrid(id, prefix) {
    await this.page.evaluate(
      ([player, name]) => {
        const { graph } = window.app;
        const link = graph.getNodeById(player).inputs.find((input) => input.name === "grid").link;
        const { origin_id: source, origin_slot: slot } = graph.getLink(link);
        const node = window.LiteGraph.createNode("FourRealSaveGrid");
        graph.add(node);
        node.widgets.find((widget) => widget.name === "filename_prefix").value = name;
        graph.getNodeById(source).connect(slot, node, 0);
      },
      [id, prefix],
    );
    await this.editor.run();
  }
}
