// Has a worker sort the Gaussians of a scene by depth, one order at a time, always for the newest camera and time that were asked for.

import { nodeDepths } from "./depth_order.mjs";
import { PER_NODE } from "./node_motion.mjs";
import { orderLength } from "./renderer.mjs";

export class SceneOrder {
  /** scene: of renderer.mjs; onSorted() is called after it has a new order, onProblem(text) when sorting fails. */
  constructor(scene, { onSorted, onProblem }) {
    Object.assign(this, { scene, onSorted, wanted: null, asked: null, sorted: null });
    const { positions, near, shares, sizes } = scene.splats;
    this.spare = { order: new Uint32Array(orderLength(sizes.N)), nodes: new Float32Array(4 * sizes.M) };
    this.other = new Uint32Array(orderLength(sizes.N));
    this.worker = new Worker(new URL("./sort_worker.mjs", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.answered(data));
    this.worker.addEventListener("error", (event) => onProblem(`The splats could not be sorted: ${event.message ?? "the worker did not start"}.`));
    const copies = { positions: positions.slice(), near: near.slice(), shares: shares.slice() };
    const transferred = Object.values(copies).map(({ buffer }) => buffer);
    this.worker.postMessage({ ...copies, count: sizes.N, moving: sizes.P }, transferred);
  }

  /** Whether what is drawn is in the order of the last camera and time that were asked for. */
  get fresh() {
    return this.sorted === this.wanted?.ticket;
  }

  /** Ask for the order before a camera at a time. */
  want({ rotation, shift }, time) {
    const row = [...rotation.slice(6), shift[2]];
    const ticket = `${row} ${time}`;
    if (ticket === this.wanted?.ticket) return;
    this.wanted = { row, time, ticket };
    this.ask();
  }

  ask() {
    if (!this.spare || this.asked === this.wanted.ticket) return;
    const { row, time, ticket } = this.wanted;
    const { order, nodes } = this.spare;
    nodeDepths(row, this.scene.nodesAt(time), PER_NODE, nodes);
    this.spare = null;
    this.asked = ticket;
    this.worker.postMessage({ row, nodes, order, ticket }, [order.buffer, nodes.buffer]);
  }

  answered({ order, nodes, drawn, nearest, ticket }) {
    this.spare = { order: this.scene.order ?? this.other, nodes };
    this.other = null;
    this.scene.setOrder(order, drawn, nearest);
    this.sorted = ticket;
    this.ask();
    this.onSorted();
  }

  close() {
    this.worker.terminate();
  }
}
