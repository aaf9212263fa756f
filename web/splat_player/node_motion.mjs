// Where the nodes that carry moving Gaussians are at a time, as `NodePaths.moved` in fourreal_core/splats/gaussians.py has it. Pure.

export const PER_NODE = 16; // numbers: three rows of a matrix and an offset, and a rotation vector

/** Legendre polynomials of degrees 1 .. `degree` at a time, less their values at the time of rest. Times 0 .. times - 1 become -1 .. 1. */
export function pathBasis(time, times, rest, degree) {
  const place = (moment) => (times > 1 ? (Math.min(Math.max(moment, 0), times - 1) * 2) / (times - 1) - 1 : 0);
  const [here, there] = [legendre(place(time), degree), legendre(place(rest), degree)];
  return here.map((value, index) => value - there[index]);
}

/** P_1 .. P_degree by Bonnet's recursion. */
function legendre(x, degree) {
  const values = [1, x];
  for (let order = 2; order <= degree; order += 1) values.push(((2 * order - 1) * x * values[order - 1] - (order - 1) * values[order - 2]) / order);
  return values.slice(1, degree + 1);
}

/**
 * For each node PER_NODE numbers into `out`: the rows of x' = R x + (c - R c + d), four numbers each, then the rotation vector and a 0.
 * d and R are what the node's path says at the time of `basis`, c is where it rests.
 */
export function nodesAt({ sizes: { M, D }, nodes, paths }, basis, out) {
  const step = new Float64Array(6);
  for (let node = 0; node < M; node += 1) {
    step.fill(0);
    for (let degree = 0; degree < D; degree += 1) for (let part = 0; part < 6; part += 1) step[part] += basis[degree] * paths[(node * D + degree) * 6 + part];
    const r = rotationOf(step[3], step[4], step[5]);
    const [x, y, z] = [nodes[3 * node], nodes[3 * node + 1], nodes[3 * node + 2]];
    for (let row = 0; row < 3; row += 1) {
      const [a, b, c] = [r[3 * row], r[3 * row + 1], r[3 * row + 2]];
      out.set([a, b, c, nodes[3 * node + row] + step[row] - (a * x + b * y + c * z)], PER_NODE * node + 4 * row);
    }
    out.set([step[3], step[4], step[5], 0], PER_NODE * node + 12);
  }
  return out;
}

/** The matrix, row by row, of a rotation vector: Rodrigues' formula, smooth at zero. */
export function rotationOf(x, y, z) {
  const squared = x * x + y * y + z * z;
  const angle = Math.sqrt(squared);
  const sine = angle > 1e-6 ? Math.sin(angle) / angle : 1;
  const rest = angle > 1e-6 ? (1 - Math.cos(angle)) / squared : 0.5;
  return [
    1 - rest * (y * y + z * z), rest * x * y - sine * z, rest * x * z + sine * y,
    rest * x * y + sine * z, 1 - rest * (x * x + z * z), rest * y * z - sine * x,
    rest * x * z - sine * y, rest * y * z + sine * x, 1 - rest * (x * x + y * y),
  ];
}
