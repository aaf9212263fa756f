// Measures the player with one saved grid: node tests/web/measure.mjs "fox.grid.safetensors [input]" (variables as in harness.mjs)
//
// From "executed" to the first frame and to the full-size one, frames per second while scrubbing, and bytes sent.

import { openEditor } from "./harness.mjs";
import { Player, playerWorkflow } from "./players.mjs";

const SCRUB_MS = 3000;
const editor = await openEditor({ vueNodes: process.argv[3] === "vue" });
const sizes = {};
editor.page.on("response", (answer) => {
  if (answer.url().includes("fourreal_player%2F")) sizes[new URL(answer.url()).searchParams.get("filename")] = Number(answer.headers()["content-length"]);
});
await editor.load(playerWorkflow(process.argv[2]));
const executed = editor.page.evaluate(
  () =>
    new Promise((done) => {
      window.comfyAPI.api.api.addEventListener("executed", () => {
        const start = performance.now();
        const { dataset } = window.app.graph.getNodeById(2).widgets.find((widget) => widget.name === "player").element;
        const times = {};
        const look = () => {
          if (dataset.shown) times.first ??= performance.now() - start;
          if (dataset.shown === "full") done({ ...times, full: performance.now() - start });
          else requestAnimationFrame(look);
        };
        look();
      }, { once: true });
    }),
);
const begun = performance.now();
await editor.run();
const player = new Player(editor);
const times = await executed;
await player.waitShown("full");

const { x, y, width, height } = await player.box();
const counted = editor.page.evaluate(
  (duration) =>
    new Promise((done) => {
      const frames = [];
      const { dataset } = window.app.graph.getNodeById(2).widgets.find((widget) => widget.name === "player").element;
      const cells = new Set();
      const look = (now) => {
        frames.push(now);
        cells.add(`${dataset.view},${dataset.time}`);
        if (now - frames[0] < duration) requestAnimationFrame(look);
        else done({ frames: frames.map((at, index) => (index ? at - frames[index - 1] : 0)).slice(1), cells: cells.size });
      };
      requestAnimationFrame(look);
    }),
  SCRUB_MS,
);
await editor.page.mouse.move(x + 0.05 * width, y + 0.05 * height);
await editor.page.mouse.down();
for (const end = performance.now() + SCRUB_MS; performance.now() < end; ) {
  const turn = (performance.now() - end) / 500;
  await editor.page.mouse.move(x + (0.35 + 0.3 * Math.cos(turn)) * width, y + (0.35 + 0.3 * Math.sin(turn * 1.3)) * height);
}
await editor.page.mouse.up();
const { frames, cells } = await counted;
frames.sort((a, b) => a - b);
const mean = frames.reduce((sum, each) => sum + each, 0) / frames.length;
await player.waitShown("any");
const drawing = await editor.page.evaluate(() => {
  const { element } = window.app.graph.getNodeById(2).widgets.find((widget) => widget.name === "player");
  return [element.querySelector("canvas").width, element.querySelector("canvas").height];
});
console.log(
  JSON.stringify({
    seconds_to_run: (performance.now() - begun) / 1000,
    ms_executed_to_first_frame: Math.round(times.first),
    ms_executed_to_full_size: Math.round(times.full),
    frames_per_second: Math.round(1000 / mean),
    slowest_frame_ms: Math.round(frames.at(-1)),
    cells_seen: cells,
    canvas: drawing,
    kilobytes: Object.fromEntries(Object.entries(sizes).map(([name, bytes]) => [name, Math.round(bytes / 1000)])),
  }),
);
if (process.argv[4]) await editor.page.screenshot({ path: process.argv[4] });
await editor.close();
