// The editor of a real ComfyUI in a real Chromium, for tests of interactive nodes. One browser serves all editors that are open at once.
//
// Needs FOURREAL_HOST (address), FOURREAL_CHROMIUM and FOURREAL_NODE_MODULES; tests/host/test_in_browser.py sets them.

import { createRequire } from "node:module";
import { join } from "node:path";

const { chromium } = createRequire(join(process.env.FOURREAL_NODE_MODULES, "here.js"))("playwright-core");
const HOST = process.env.FOURREAL_HOST;
const WAIT_MS = 60_000;
const OPEN_MS = 240_000; // the editor is large, and the machine may be busy

let launched = null; // a promise of the browser

function theBrowser() {
  const options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"];
  launched ??= chromium.launch({ executablePath: process.env.FOURREAL_CHROMIUM, args: options });
  return launched;
}

/**
 * The editor, ready and empty. vueNodes chooses the renderer; zoom is the browser's; theme "dark" or "light".
 * `editor.problems` collects what went wrong on the page.
 */
export async function openEditor({ vueNodes = false, zoom = 1, theme = "dark", size = { width: 1280, height: 900 } } = {}) {
  const context = await (await theBrowser()).newContext({ viewport: size, deviceScaleFactor: zoom });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  const problems = watch(page);
  await setSettings({ "Comfy.VueNodes.Enabled": vueNodes, "Comfy.ColorPalette": theme, "Comfy.TutorialCompleted": true, "Comfy.Workflow.Persist": false });
  await page.goto(HOST, { waitUntil: "domcontentloaded", timeout: OPEN_MS });
  const ready = () => window.app?.extensionManager && window.app.graph && window.comfyAPI?.api?.api?.clientId;
  await page.waitForFunction(ready, null, { timeout: OPEN_MS });
  await page.evaluate(() => window.app.graph.clear());
  return new Editor(context, page, problems);
}

/** Page errors, console errors and failed requests, but for those that a bare ComfyUI makes by itself. */
function watch(page) {
  const problems = [];
  const own = (text) => /fourreal|4real|player/i.test(text);
  page.on("pageerror", (error) => problems.push(`${error.stack ?? error}`));
  page.on("console", (message) => {
    const text = `${message.text()} ${message.location().url}`;
    if (message.type() === "error" && own(text)) problems.push(text);
  });
  page.on("response", (answer) => {
    if (answer.status() >= 400 && own(answer.url())) problems.push(`${answer.status()} ${answer.url()}`);
  });
  return problems;
}

async function setSettings(settings) {
  const answer = await fetch(`${HOST}/settings`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(settings) });
  if (!answer.ok) throw new Error(`settings were refused: ${answer.status}`);
}

export class Editor {
  constructor(context, page, problems) {
    Object.assign(this, { context, page, problems });
  }

  /** Load a workflow as the menu would, and show it at a scale from its upper left corner. */
  async load(workflow, { scale = 1 } = {}) {
    await this.page.evaluate(
      async ([given, zoom]) => {
        await window.app.loadGraphData(given, true, false);
        const { ds } = window.app.canvas;
        [ds.scale, ds.offset[0], ds.offset[1]] = [zoom, 80, 100];
        window.app.canvas.setDirty(true, true);
      },
      [workflow, scale],
    );
    await this.settle();
  }

  /** Queue the loaded workflow and wait until it has run; throws when it fails. */
  async run() {
    const error = await this.page.evaluate(async () => {
      const { api } = window.comfyAPI.api;
      const over = new Promise((resolve) => {
        const end = ({ type, detail }) => resolve(type === "execution_success" ? null : (detail?.exception_message ?? type));
        for (const kind of ["execution_success", "execution_error", "execution_interrupted"]) api.addEventListener(kind, end, { once: true });
      });
      const queued = await window.app.queuePrompt(0);
      return queued === false ? "the prompt was refused" : over;
    });
    if (error) throw new Error(error);
    await this.settle();
  }

  /** Two frames drawn. */
  settle() {
    return this.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  }

  /** The workflow as it would be saved. */
  saved() {
    return this.page.evaluate(() => window.app.graph.serialize());
  }

  /** Change one of the host's settings while the editor is open. */
  async set(name, value) {
    await this.page.evaluate(([key, given]) => window.app.extensionManager.setting.set(key, given), [name, value]);
    await this.settle();
  }

  /** What the browser's zoom does to the page's pixels. */
  async setPixelRatio(ratio) {
    this.metrics ??= await this.context.newCDPSession(this.page); // what it sets is gone when it ends
    await this.metrics.send("Emulation.setDeviceMetricsOverride", { ...this.page.viewportSize(), deviceScaleFactor: ratio, mobile: false });
    await this.settle();
  }

  /** One finger from one place on the screen to another, held still at the end. */
  async touchDrag(from, to, steps = 10) {
    const session = await this.context.newCDPSession(this.page);
    const touch = (type, points) => session.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([x, y]) => ({ x, y })) });
    await session.send("Emulation.setTouchEmulationEnabled", { enabled: true });
    await touch("touchStart", [from]);
    for (let step = 1; step <= steps; step += 1) await touch("touchMove", [from.map((start, axis) => start + ((to[axis] - start) * step) / steps)]);
    await this.page.waitForTimeout(150);
    await touch("touchEnd", []);
    await session.send("Emulation.setTouchEmulationEnabled", { enabled: false });
    await session.detach();
  }

  remove(id) {
    return this.page.evaluate((node) => window.app.graph.remove(window.app.graph.getNodeById(node)), id);
  }

  /** The last editor to close takes the browser along. */
  async close() {
    await this.context.close();
    const browser = await theBrowser();
    if (browser.contexts().length) return;
    launched = null;
    await browser.close();
  }
}

/** A workflow in the editor's format from [{id, type, pos, size, values, inputs: {name: [source id, slot]}, outputs: [[name, type]], properties}]. */
export function workflowOf(nodes) {
  const links = [];
  const made = nodes.map(({ id, type, pos = [0, 0], size = [300, 200], values = [], inputs = {}, outputs = [], properties = {} }) => ({
    id, type, pos, size, flags: {}, order: id, mode: 0, properties, widgets_values: values, outputs: outputs.map(([name, kind]) => ({ name, type: kind, links: [] })),
    inputs: Object.entries(inputs).map(([name, [source, slot, kind]], index) => {
      links.push([links.length + 1, source, slot, id, index, kind]);
      return { name, type: kind, link: links.length };
    }),
  }));
  for (const [link, source, slot] of links) made.find((node) => node.id === source).outputs[slot].links.push(link);
  return { last_node_id: Math.max(...nodes.map((node) => node.id)), last_link_id: links.length, nodes: made, links, groups: [], config: {}, extra: {}, version: 0.4 };
}
