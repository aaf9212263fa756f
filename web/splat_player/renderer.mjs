// Draws 4D splats with WebGL 2. All players of a page share one context, since browsers give only a few; each has a Scene in it. Sorting: scene_order.mjs.
//
// Gaussians are blended as they are sorted, the furthest first, in a picture of 16-bit floats, where the graphics card can, so that many faint ones do not round to nothing.

import { nodesAt, pathBasis, PER_NODE } from "./node_motion.mjs";
import { ACROSS, BATCH, COPY_FRAGMENT, COPY_VERTEX, GAUSSIAN_FRAGMENT, GAUSSIAN_VERTEX, MOST_DEGREE, MOST_NEAR, NODES_ACROSS } from "./shaders.mjs";

const MISSING = "This browser has no WebGL 2, which the player needs: turn on hardware acceleration in its settings.";
const BEYOND = 0.3; // of the half picture: how far outside of it a Gaussian is still drawn in its true shape, as in rasterizer.py
const QUADS = Uint16Array.from({ length: 6 * BATCH }, (_, index) => 4 * Math.floor(index / 6) + [0, 1, 2, 2, 1, 3][index % 6]);
const LARGE_TRIANGLE = new Float32Array([-1, -1, 3, -1, -1, 3]);

let shared = null; // the renderer of the page, while there are scenes

/** The page's renderer, made when it is first asked for. Throws an Error where the browser cannot. */
export function theRenderer() {
  return (shared ??= new Renderer());
}

export class Renderer {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.scenes = new Set();
    const options = { alpha: false, antialias: false, depth: false, stencil: false, powerPreference: "high-performance" };
    this.gl = this.canvas.getContext("webgl2", options);
    if (!this.gl) throw new Error(MISSING);
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault()); // it may come back
    this.canvas.addEventListener("webglcontextrestored", () => this.restored());
    this.build();
  }

  get lost() {
    return this.gl.isContextLost();
  }

  build() {
    const { gl } = this;
    this.floats = Boolean(gl.getExtension("EXT_color_buffer_float") ?? gl.getExtension("EXT_color_buffer_half_float"));
    this.gaussian = program(gl, GAUSSIAN_VERTEX, GAUSSIAN_FRAGMENT);
    this.copy = program(gl, COPY_VERTEX, COPY_FRAGMENT);
    this.copying = gl.createVertexArray();
    gl.bindVertexArray(this.copying);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, LARGE_TRIANGLE, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    this.quads = gl.createVertexArray();
    gl.bindVertexArray(this.quads);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, QUADS, gl.STATIC_DRAW);
    this.target = null;
    this.room = { width: 0, height: 0 };
  }

  restored() {
    this.build();
    for (const scene of this.scenes) scene.build();
  }

  /** A scene of what parseSplats gave; onChange() is called when it must be drawn anew. */
  add(splats, onChange) {
    const scene = new Scene(this, splats, onChange);
    this.scenes.add(scene);
    return scene;
  }

  /** The last scene to go takes the context along. */
  remove(scene) {
    this.scenes.delete(scene);
    if (this.scenes.size) return;
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
    this.canvas.width = this.canvas.height = 0;
    if (shared === this) shared = null;
  }

  /** Make canvas and target large enough; they never shrink, for players of several sizes take turns. */
  makeRoom(width, height) {
    const { gl, room } = this;
    if (this.target && width <= room.width && height <= room.height) return;
    this.room = { width: Math.max(width, room.width), height: Math.max(height, room.height) };
    Object.assign(this.canvas, this.room);
    if (this.target) gl.deleteFramebuffer(this.target.frame), gl.deleteTexture(this.target.picture);
    const picture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, picture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, this.floats ? gl.RGBA16F : gl.RGBA8, this.room.width, this.room.height);
    plain(gl, gl.TEXTURE_2D);
    const frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, picture, 0);
    this.target = { frame, picture };
  }

  /** Run draw() into a picture of this size over a plain background [3]; returns what drawImage() takes of the canvas: [canvas, x, y, width, height]. */
  draw(width, height, background, draw) {
    const { gl } = this;
    this.makeRoom(width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target.frame);
    gl.viewport(0, 0, width, height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(0, 0, width, height);
    gl.clearColor(...background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    draw();
    gl.disable(gl.BLEND);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.useProgram(this.copy.program);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.target.picture);
    gl.uniform1i(this.copy.at("picture"), 0);
    gl.bindVertexArray(this.copying);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    return [this.canvas, 0, this.room.height - height, width, height];
  }
}

/** The splats of one player on the graphics card. */
export class Scene {
  constructor(renderer, splats, onChange) {
    Object.assign(this, { renderer, splats, onChange });
    const { N, P, M } = splats.sizes;
    Object.assign(this, { still: N - P, order: null, drawn: 0, nearest: 0 });
    this.nodes = new Float32Array(PER_NODE * NODES_ACROSS * Math.max(Math.ceil(M / NODES_ACROSS), 1));
    this.time = null; // of `nodes`
    this.build();
  }

  /** Everything to the graphics card; again after it has forgotten. */
  build() {
    const { gl, gaussian } = this.renderer;
    if (gl.isContextLost()) return;
    const { splats } = this;
    const { N, P, K, C } = splats.sizes;
    const withOpacity = widened(splats.positions, N, 3);
    for (let index = 0; index < N; index += 1) withOpacity[4 * index + 3] = splats.opacities[index];
    this.textures = {
      positions: texture(gl, withOpacity, N),
      rotations: texture(gl, splats.rotations, N),
      scales: texture(gl, widened(splats.scales, N, 3), N),
      colours: texture(gl, widened(splats.colours, N, 3), N),
      shades: layers(gl, N, C, 3, (index, layer, part) => splats.shades[(index * C + layer) * 3 + part]),
      near: layers(gl, P, Math.ceil(K / 4), 4, (index, layer, part) => (4 * layer + part < K ? splats.near[index * K + 4 * layer + part] : 0)),
      shares: layers(gl, P, Math.ceil(K / 4), 4, (index, layer, part) => (4 * layer + part < K ? splats.shares[index * K + 4 * layer + part] : 0)),
      nodes: storage(gl, gl.RGBA32F, 4 * NODES_ACROSS, this.nodes.length / (PER_NODE * NODES_ACROSS)),
      order: storage(gl, gl.R32UI, ACROSS, linesFor(N)),
    };
    if (this.order) this.sendOrder();
    this.gaussian = gaussian;
    this.time = null;
    this.onChange();
  }

  /** Draw in this order (Uint32Array of `orderLength`) from here on, the furthest first; `drawn`, `nearest`: see depth_order.mjs. */
  setOrder(order, drawn, nearest) {
    Object.assign(this, { order, drawn, nearest });
    if (!this.renderer.lost) this.sendOrder();
  }

  sendOrder() {
    const { gl } = this.renderer;
    gl.bindTexture(gl.TEXTURE_2D, this.textures.order.handle);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, ACROSS, linesFor(this.drawn), gl.RED_INTEGER, gl.UNSIGNED_INT, this.order);
  }

  /** Where the nodes are at a time; kept until another is asked for. */
  nodesAt(time) {
    const { splats } = this;
    if (time !== this.time) {
      nodesAt(splats, pathBasis(time, splats.times, splats.rest, splats.sizes.D), this.nodes);
      this.time = time;
      this.sentNodes = false;
    }
    return this.nodes;
  }

  /**
   * Draw the splats as a camera (camera.mjs) sees them at a time in pixels: `width` x `height` of them for the whole picture. Returns what drawImage() takes.
   * Gaussians are blurred by the share of a cell's pixel that they were fitted with, however many pixels the picture has.
   */
  draw(camera, time, width, height) {
    const { gl } = this.renderer;
    const { splats } = this;
    const nodes = this.nodesAt(time);
    return this.renderer.draw(width, height, splats.background, () => {
      if (!this.drawn) return;
      gl.useProgram(this.gaussian.program);
      this.bindTextures(nodes);
      this.setUniforms(camera, pathBasis(time, splats.times, splats.rest, splats.sizes.C), width, height);
      gl.bindVertexArray(this.renderer.quads);
      gl.drawElementsInstanced(gl.TRIANGLES, 6 * Math.min(this.drawn, BATCH), gl.UNSIGNED_SHORT, 0, Math.ceil(this.drawn / BATCH));
    });
  }

  bindTextures(nodes) {
    const { gl } = this.renderer;
    for (const [unit, [name, { kind, handle }]] of Object.entries(this.textures).entries()) {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(kind, handle);
      gl.uniform1i(this.gaussian.at(name), unit);
      if (name === "nodes" && !this.sentNodes) gl.texSubImage2D(kind, 0, 0, 0, 4 * NODES_ACROSS, nodes.length / (PER_NODE * NODES_ACROSS), gl.RGBA, gl.FLOAT, nodes);
    }
    this.sentNodes = true;
  }

  setUniforms({ rotation, shift, lens }, basis, width, height) {
    const { gl } = this.renderer;
    const { at } = this.gaussian;
    const { sizes, width: cellWidth, height: cellHeight } = this.splats;
    const [across, down] = [width / cellWidth, height / cellHeight];
    gl.uniform1i(at("drawn"), this.drawn);
    gl.uniform1i(at("still"), this.still);
    gl.uniform1i(at("followed"), Math.min(sizes.K, MOST_NEAR));
    gl.uniform1i(at("degrees"), sizes.C);
    gl.uniform1fv(at("basis"), Float32Array.from({ length: MOST_DEGREE }, (_, degree) => basis[degree] ?? 0));
    gl.uniformMatrix3fv(at("rotation"), true, rotation);
    gl.uniform3fv(at("shift"), shift);
    gl.uniform4f(at("lens"), lens.fx * across, lens.fy * down, lens.cx * across, lens.cy * down);
    gl.uniform1f(at("skew"), lens.skew * across);
    gl.uniform1f(at("nearest"), this.nearest);
    gl.uniform1f(at("lowPass"), LOW_PASS * across * down);
    gl.uniform2f(at("size"), width, height);
    gl.uniform2f(at("beyond"), (BEYOND * cellWidth) / 2 / lens.fx, (BEYOND * cellHeight) / 2 / lens.fy);
  }

  close() {
    const { gl } = this.renderer;
    for (const { handle } of Object.values(this.textures ?? {})) gl.deleteTexture(handle);
    this.renderer.remove(this);
  }
}

const LOW_PASS = 0.3; // pixels^2 of a cell, added to every covariance, as in rasterizer.py

function program(gl, vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.bindAttribLocation(made, 0, "corner");
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(`The graphics card refuses to draw splats: ${[gl.getProgramInfoLog(made), ...gl.getAttachedShaders(made).map((shader) => gl.getShaderInfoLog(shader))].join(" ")}`);
  }
  const places = new Map();
  const at = (name) => {
    if (!places.has(name)) places.set(name, gl.getUniformLocation(made, name));
    return places.get(name);
  };
  return { program: made, at };
}

function plain(gl, kind) {
  for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(kind, name, gl.NEAREST);
}

/** Arrays of `count` groups of `parts` numbers, with four in each group. */
function widened(numbers, count, parts) {
  const wide = new Float32Array(4 * count);
  for (let index = 0; index < count; index += 1) for (let part = 0; part < parts; part += 1) wide[4 * index + part] = numbers[parts * index + part];
  return wide;
}

const linesFor = (count) => Math.max(Math.ceil(count / ACROSS), 1);

/** How long an order is in which `count` Gaussians are drawn: whole lines of its texture. */
export const orderLength = (count) => ACROSS * linesFor(count);

/** Four numbers for each of `count` Gaussians. */
function texture(gl, numbers, count) {
  const made = storage(gl, gl.RGBA32F, ACROSS, linesFor(count));
  const whole = Math.floor(count / ACROSS);
  if (whole) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, ACROSS, whole, gl.RGBA, gl.FLOAT, numbers.subarray(0, 4 * ACROSS * whole));
  if (count > whole * ACROSS) gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, whole, count - whole * ACROSS, 1, gl.RGBA, gl.FLOAT, numbers.subarray(4 * ACROSS * whole));
  return made;
}

/** Up to four numbers for each of `count` Gaussians in each of several layers: value(index, layer, part). */
function layers(gl, count, layerCount, parts, value) {
  const handle = gl.createTexture();
  const lines = linesFor(count);
  gl.bindTexture(gl.TEXTURE_2D_ARRAY, handle);
  gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.RGBA32F, ACROSS, lines, Math.max(layerCount, 1));
  plain(gl, gl.TEXTURE_2D_ARRAY);
  const numbers = new Float32Array(4 * ACROSS * lines);
  for (let layer = 0; layer < layerCount; layer += 1) {
    for (let index = 0; index < count; index += 1) for (let part = 0; part < parts; part += 1) numbers[4 * index + part] = value(index, layer, part);
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, layer, ACROSS, lines, 1, gl.RGBA, gl.FLOAT, numbers);
  }
  return { kind: gl.TEXTURE_2D_ARRAY, handle };
}

function storage(gl, format, width, height) {
  const handle = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, handle);
  gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
  plain(gl, gl.TEXTURE_2D);
  return { kind: gl.TEXTURE_2D, handle };
}
