// The order in which Gaussians are drawn: by depth, the furthest first. Pure; runs in a worker (sort_worker.mjs).

const KEYS = 2 ** 16;
const NEAREST = 0.02; // of the median depth, as in fourreal_core/splats/rasterizer.py: what is nearer is not drawn

export class DepthOrder {
  /** positions [N, 3]; near, shares [P, K]: the nodes that the last P follow. */
  constructor({ positions, near, shares }, count, moving) {
    Object.assign(this, { positions, near, shares, count, still: count - moving, perGaussian: moving ? near.length / moving : 0 });
    this.depths = new Float32Array(count);
    this.bits = new Uint32Array(this.depths.buffer); // of a positive number: larger where the number is
    this.places = new Uint32Array(KEYS + 1);
  }

  /**
   * {drawn, nearest}: how many numbers were written into `order` (Uint32Array [N]), and the depth that the last of them at least has. `row`: four numbers, depth = row . (x, y, z, 1);
   * `nodes`: four numbers for each node, so that the depth of a Gaussian that follows it alone is theirs . (x, y, z, 1).
   * Depths that differ by less than a share of r / 32768, where the furthest is 2^r times the nearest, may stay in the order of the file.
   */
  sort(row, nodes, order) {
    this.measure(row, nodes);
    const { bits, depths, places, count } = this;
    let [least, most, before] = [Infinity, 0, 0];
    for (let index = 0; index < count; index += 1) {
      const at = depths[index] > 0 && depths[index] < Infinity ? bits[index] : 0;
      if (at === 0) continue;
      before += 1;
      if (at < least) least = at;
      if (at > most) most = at;
    }
    if (before === 0) return { drawn: 0, nearest: 0 };
    let shift = 0;
    while (most - least >= KEYS * 2 ** shift) shift += 1;
    places.fill(0);
    for (let index = 0; index < count; index += 1) if (depths[index] > 0 && depths[index] < Infinity) places[KEYS - ((bits[index] - least) >>> shift)] += 1;
    const nearest = NEAREST * this.medianDepth(before, least, shift);
    for (let key = 1; key <= KEYS; key += 1) places[key] += places[key - 1];
    let drawn = 0;
    for (let index = 0; index < count; index += 1) {
      if (!(depths[index] > 0 && depths[index] < Infinity)) continue;
      order[places[KEYS - ((bits[index] - least) >>> shift) - 1]++] = index;
      if (depths[index] > nearest) drawn += 1;
    }
    return { drawn, nearest };
  }

  /** Depths of all Gaussians: those that move by the mean of their nodes. */
  measure([a, b, c, d], nodes) {
    const { positions, near, shares, depths, count, still, perGaussian } = this;
    for (let index = 0; index < still; index += 1) depths[index] = a * positions[3 * index] + b * positions[3 * index + 1] + c * positions[3 * index + 2] + d;
    for (let index = still; index < count; index += 1) {
      const x = positions[3 * index];
      const y = positions[3 * index + 1];
      const z = positions[3 * index + 2];
      let depth = 0;
      for (let at = (index - still) * perGaussian, end = at + perGaussian; at < end; at += 1) {
        const node = 4 * near[at];
        depth += shares[at] * (nodes[node] * x + nodes[node + 1] * y + nodes[node + 2] * z + nodes[node + 3]);
      }
      depths[index] = depth;
    }
  }

  /** The lower median of the depths, as exact as the keys are; `places` holds how many have each key, the furthest first. */
  medianDepth(before, least, shift) {
    let [key, left] = [KEYS, (before - 1) >> 1];
    while (left >= this.places[key]) left -= this.places[key--];
    const bits = new Uint32Array([least + (KEYS - key) * 2 ** shift]);
    return new Float32Array(bits.buffer)[0];
  }
}

/** What `sort` takes as `nodes`, from a camera's row and the nodes' matrices of node_motion.mjs. */
export function nodeDepths([a, b, c, d], matrices, perNode, out) {
  for (let node = 0; node < out.length / 4; node += 1) {
    const m = node * perNode;
    for (let at = 0; at < 4; at += 1) out[4 * node + at] = a * matrices[m + at] + b * matrices[m + 4 + at] + c * matrices[m + 8 + at];
    out[4 * node + 3] += d;
  }
  return out;
}
