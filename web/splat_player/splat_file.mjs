// A file of 4D splats, as fourreal_core/splats/splat_file.py writes it, read and checked. Pure; docs/splats.md says what the numbers mean.

const KINDS = { F32: Float32Array, I16: Int16Array };
const AXES = {
  positions: "N3", scales: "N3", rotations: "N4", colours: "N3", opacities: "N", shades: "NC3",
  nodes: "M3", paths: "MD6", near: "PK", shares: "PK", world_to_camera: "V44", intrinsics: "V33",
};
const MOST = { N: 2 ** 22, M: 2 ** 15 - 1, P: 2 ** 22, K: 8, C: 16, D: 16, V: 2 ** 16 };
const DAMAGED = "The file of the splats is damaged or incomplete: run the workflow again.";

/**
 * {sizes: {N, P, M, K, C, D, V}, rest, times, fps, width, height, background [3], cameras, and an array of numbers for each of `AXES`} of the bytes of a file.
 * cameras: see camera.mjs. The last P Gaussians move. Throws an Error that says what is wrong; nothing is read outside of `buffer`.
 */
export function parseSplats(buffer) {
  try {
    const { header, begin } = headerOf(buffer);
    const sizes = {};
    const arrays = Object.fromEntries(Object.entries(AXES).map(([name, axes]) => [name, arrayOf(buffer, begin, header[name], name, axes, sizes)]));
    expect(sizes.N > 0 && sizes.P <= sizes.N && sizes.V > 0 && arrays.near.every((node) => node >= 0 && node < sizes.M));
    return { sizes, ...arrays, ...described(header), cameras: camerasOf(arrays, sizes.V) };
  } catch (problem) {
    throw new Error(DAMAGED, { cause: problem });
  }
}

function expect(holds) {
  if (!holds) throw new Error("unexpected numbers");
}

function headerOf(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  expect(length <= buffer.byteLength - 8);
  return { header: JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length))), begin: 8 + length };
}

/** A view of one array, or a copy where its place does not suit its kind. One letter is one size in all arrays. */
function arrayOf(buffer, begin, { dtype, shape, data_offsets: [from, to] }, name, axes, sizes) {
  const Kind = KINDS[name === "near" ? "I16" : "F32"];
  expect(KINDS[dtype] === Kind && shape.length === axes.length);
  for (const [place, axis] of [...axes].entries()) {
    const size = shape[place];
    const wanted = axis in MOST ? (sizes[axis] ??= size) : Number(axis);
    expect(Number.isInteger(size) && size >= 0 && size === wanted && !(size > MOST[axis]));
  }
  const count = shape.reduce((product, size) => product * size, 1);
  expect(from >= 0 && to - from === count * Kind.BYTES_PER_ELEMENT && begin + to <= buffer.byteLength);
  const fits = (begin + from) % Kind.BYTES_PER_ELEMENT === 0;
  return fits ? new Kind(buffer, begin + from, count) : new Kind(buffer.slice(begin + from, begin + to));
}

function described({ __metadata__: { splats } }) {
  const { rest, times, fps, width, height, background } = JSON.parse(splats);
  expect([rest, times, fps, width, height, ...background].every(Number.isFinite) && background.length === 3);
  expect(Number.isInteger(times) && times > 0 && rest >= 0 && rest <= times - 1 && fps > 0 && width > 0 && height > 0);
  return { rest, times, fps, width, height, background };
}

function camerasOf({ world_to_camera: poses, intrinsics }, views) {
  return Array.from({ length: views }, (_, view) => {
    const m = poses.subarray(16 * view, 16 * view + 16);
    const k = intrinsics.subarray(9 * view, 9 * view + 9);
    return {
      rotation: [m[0], m[1], m[2], m[4], m[5], m[6], m[8], m[9], m[10]],
      shift: [m[3], m[7], m[11]],
      lens: { fx: k[0], fy: k[4], skew: k[1], cx: k[2], cy: k[5] },
    };
  });
}
