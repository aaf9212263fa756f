// What the picture of each node's help page shows: the node, connected and run where it can run without downloads, and what it makes.
// Used by node_pictures.mjs. The files are made by scripts/pictures.py.

export const GRID_FILE = "example.grid.safetensors [input]";
export const RIG_FOLDER = "example_rig [input]";
export const SPLATS_FILE = "example.splats.safetensors [input]";
export const SYNC_FILE = "my_sync.safetensors";

/** Nodes that feed the others and are in no picture: name -> {type, set: {widget: value}, from: {input: [name, output]}}. */
export const SOURCES = {
  fixedView: { type: "LoadVideo", set: { file: "4real_fixed_view.mp4" } },
  freezeTime: { type: "LoadVideo", set: { file: "4real_freeze_time.mp4" } },
  known: { type: "FourRealBuildGrid", set: { width: 128 }, from: { fixed_view: ["fixedView", 0], freeze_time: ["freezeTime", 0] } },
  large: { type: "FourRealBuildGrid", set: { width: 256 }, from: { fixed_view: ["fixedView", 0], freeze_time: ["freezeTime", 0] } },
  filled: { type: "FourRealLoadGrid", set: { file: GRID_FILE } },
  fill: { type: "FourRealTransportFill", from: { grid: ["known", "grid"] } },
  model: { type: "FourRealLoadModel" },
  view0: { type: "FourRealGridToVideo", set: { path: "fixed view", "path.view": 0 }, from: { grid: ["filled", "grid"] } },
  view3: { type: "FourRealGridToVideo", set: { path: "fixed view", "path.view": 3 }, from: { grid: ["filled", "grid"] } },
  view6: { type: "FourRealGridToVideo", set: { path: "fixed view", "path.view": 6 }, from: { grid: ["filled", "grid"] } },
  fitted: { type: "FourRealLoadSplats", set: { file: SPLATS_FILE } },
  batch: { type: "FourRealGridToImages", from: { grid: ["filled", "grid"] } },
  conditioned: { type: "FourRealGridConditioning", from: { model: ["model", 0], grid: ["known", "grid"] } },
  sampled: {
    type: "KSampler",
    set: { steps: 4, cfg: 1, sampler_name: "euler", scheduler: "simple", seed: 0 },
    from: { model: ["model", 0], positive: ["conditioned", "positive"], negative: ["conditioned", "negative"], latent_image: ["conditioned", "latent"] },
  },
};

const FILLED = { grid: ["filled", "grid"] };
const SPLATS = { splats: ["fitted", "splats"] };
const KNOWN = { grid: ["known", "grid"] };

/**
 * Node id -> {set, from, shows, high, size, move}. `shows`: [output, "grid" | "images" | "video"] that is shown below the node, `high` pixels
 * high, or left out of the picture if it is `apart`; without it the node stands alone and does not run if nothing of it is saved. `move`: keys pressed in it. A node that is not listed here stands alone with its defaults.
 */
export const EXHIBITS = {
  FourRealTwoStream: { from: { model: ["model", 0] } },
  FourRealLoadSync: { set: { file: SYNC_FILE } },
  FourRealBudget: { from: { model: ["model", 0], ...KNOWN }, size: [380, 410] },
  FourRealBuildGrid: { from: { fixed_view: ["fixedView", 0], freeze_time: ["freezeTime", 0] }, shows: ["grid", "grid"] },
  FourRealAssembleGrid: {
    from: { "videos.video0": ["view0", "video"], "videos.video1": ["view3", "video"], "videos.video2": ["view6", "video"] },
    shows: ["grid", "grid"],
    high: 200,
  },
  FourRealLoadGrid: { set: { file: GRID_FILE }, shows: ["grid", "grid"] },
  FourRealSaveGrid: { from: FILLED },
  FourRealLoadGridFolder: { set: { folder: RIG_FOLDER, width: 256 }, shows: ["grid", "grid"] },
  FourRealSaveGridFolder: { from: FILLED },
  FourRealGridToImages: { from: FILLED, shows: ["images", "images"] },
  FourRealImagesToGrid: { set: { views: 8 }, from: { images: ["batch", "images"] }, shows: ["grid", "grid"] },
  FourRealGridConditioning: { from: { model: ["model", 0], ...KNOWN } },
  FourRealGridDecode: { from: { latent: ["sampled", 0], ...KNOWN }, shows: ["grid", "grid"] },
  FourRealSampler: { set: { seed: 1, control_after_generate: "fixed" }, from: { model: ["model", 0], ...KNOWN }, shows: ["grid", "grid"], apart: true, size: [380, 560] }, // its live preview stays
  FourRealTransportFill: { from: KNOWN, shows: ["grid", "grid"], apart: true, size: [380, 520] }, // its report and live preview stay
  FourRealDetail: { from: { grid: ["large", "grid"], small: ["fill", "grid"] }, shows: ["grid", "grid"], apart: true, size: [380, 420] }, // its report and picture stay
  FourRealGridToVideo: { from: FILLED, shows: ["video", "video"] },
  FourRealContactSheet: { from: FILLED, shows: ["image", "images"] },
  FourRealEstimateCameras: { from: KNOWN, shows: ["picture", "images"] },
  FourRealCameraEmbedding: { from: FILLED },
  FourRealStereo: { set: { view: 2, time: 3 }, from: FILLED, shows: ["images", "images"], high: 190 },
  FourRealQuilt: { from: FILLED },
  FourRealGridPlayer: { set: { marked_cells: "[[5,6],[6,6],[7,5]]" }, from: FILLED, size: [640, 560], move: ["ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown"] },
  FourRealSplatPlayer: { from: { ...SPLATS, ...FILLED }, size: [640, 520], move: ["Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowUp", "ArrowRight", "ArrowRight", "-", "-"] },
  FourRealPath: { from: FILLED },
  FourRealMeasureGrid: { from: FILLED, shows: ["sheet", "images"], high: 300, size: [380, 190] },
  FourRealCompareGrids: { set: { names: "one, same" }, from: { "fills.grid0": ["filled", "grid"], "fills.grid1": ["filled", "grid"] }, shows: ["picture", "images"], high: 180, size: [420, 126] },
  FourRealFitSplats: { set: { steps: 100, longest: 128 }, from: FILLED, shows: ["grid", "grid"], apart: true, size: [380, 420] }, // its pictures stay
  FourRealRenderSplats: { from: SPLATS, shows: ["images", "images"] },
  FourRealSplatsToSplat: { from: SPLATS },
  FourRealSaveSplats: { from: SPLATS },
  FourRealLoadSplats: { set: { file: SPLATS_FILE } },
  FourRealWarp: { from: { grid: ["fill", "grid"], confidence: ["fill", "confidence"] }, shows: ["shown", "images"], apart: true, size: [380, 560] }, // its report and picture stay
};
