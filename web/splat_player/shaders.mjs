// What the graphics card computes: one quad per Gaussian, as fourreal_core/splats/rasterizer.py draws it, and the copy onto the canvas.

export const ACROSS = 2048; // texels in a line of the textures that hold one Gaussian per texel
export const NODES_ACROSS = 256; // nodes in a line of theirs, four texels each
export const BATCH = 1024; // quads of one instance: graphics cards are slow with instances of one quad each
export const MOST_NEAR = 8;
export const MOST_DEGREE = 16;

/** A corner of a quad, in place of the attributes that it does not have: its place in the order says which Gaussian; gives where it is on the picture and how far from its middle, in standard deviations. */
export const GAUSSIAN_VERTEX = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp sampler2DArray;
precision highp usampler2D;
uniform usampler2D order; // the furthest first
uniform sampler2D positions; // xyz, opacity
uniform sampler2D rotations; // w x y z
uniform sampler2D scales;
uniform sampler2D colours;
uniform sampler2DArray shades;
uniform sampler2DArray near; // four nodes per layer
uniform sampler2DArray shares;
uniform sampler2D nodes;
uniform int drawn, still, followed, degrees;
uniform float basis[${MOST_DEGREE}];
uniform mat3 rotation; // of the camera
uniform vec3 shift;
uniform vec4 lens; // fx, fy, cx, cy in pixels of this picture
uniform float skew, nearest, lowPass;
uniform vec2 size, beyond;
out vec3 colour;
out vec2 away;
out float opacity;

const float LEAST_ALPHA = 1.0 / 255.0;

vec4 turned(vec4 a, vec4 b) { // quaternions: the rotation b, then a
  return vec4(a.x * b.x - dot(a.yzw, b.yzw), a.x * b.yzw + b.x * a.yzw + cross(a.yzw, b.yzw));
}

mat3 matrixOf(vec4 q) {
  float w = q.x, x = q.y, y = q.z, z = q.w;
  return mat3(
    1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
    2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
    2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)
  );
}

void move(int index, inout vec3 position, inout vec4 q) {
  ivec2 place = ivec2(index % ${ACROSS}, index / ${ACROSS});
  vec4 first = vec4(0), second = vec4(0), third = vec4(0), turn = vec4(0);
  for (int k = 0; k < followed; k++) {
    ivec3 at = ivec3(place, k / 4);
    float share = texelFetch(shares, at, 0)[k % 4];
    int node = int(texelFetch(near, at, 0)[k % 4]);
    ivec2 from = ivec2(4 * (node % ${NODES_ACROSS}), node / ${NODES_ACROSS});
    first += share * texelFetch(nodes, from, 0);
    second += share * texelFetch(nodes, from + ivec2(1, 0), 0);
    third += share * texelFetch(nodes, from + ivec2(2, 0), 0);
    turn += share * texelFetch(nodes, from + ivec2(3, 0), 0);
  }
  vec4 rest = vec4(position, 1);
  position = vec3(dot(first, rest), dot(second, rest), dot(third, rest));
  float angle = max(length(turn.xyz), 1e-6);
  q = turned(vec4(cos(angle / 2.0), turn.xyz * (sin(angle / 2.0) / angle)), q);
}

void main() {
  gl_Position = vec4(0, 0, 2, 1); // not seen
  int slot = gl_InstanceID * ${BATCH} + gl_VertexID / 4;
  if (slot >= drawn) return;
  int index = int(texelFetch(order, ivec2(slot % ${ACROSS}, slot / ${ACROSS}), 0).r);
  vec2 corner = vec2(gl_VertexID % 2, (gl_VertexID / 2) % 2) * 2.0 - 1.0;
  ivec2 place = ivec2(index % ${ACROSS}, index / ${ACROSS});
  vec4 texel = texelFetch(positions, place, 0);
  vec3 position = texel.xyz;
  opacity = texel.w;
  vec4 q = texelFetch(rotations, place, 0);
  if (index >= still) move(index - still, position, q);
  vec3 seen = rotation * position + shift;
  if (!(seen.z > nearest) || opacity <= LEAST_ALPHA) return;
  vec2 middle = vec2(lens.x * seen.x / seen.z + skew * seen.y / seen.z + lens.z, lens.y * seen.y / seen.z + lens.w);
  vec2 slope = clamp(seen.xy / seen.z, -lens.zw / lens.xy - beyond, (size - lens.zw) / lens.xy + beyond);
  mat3 shape = rotation * matrixOf(normalize(q));
  vec3 scale = texelFetch(scales, place, 0).xyz;
  shape = mat3(shape[0] * scale.x, shape[1] * scale.y, shape[2] * scale.z);
  vec3 zs = vec3(shape[0].z, shape[1].z, shape[2].z);
  vec3 alongY = (vec3(shape[0].y, shape[1].y, shape[2].y) - slope.y * zs) / seen.z;
  vec3 alongX = (vec3(shape[0].x, shape[1].x, shape[2].x) - slope.x * zs) / seen.z * lens.x + skew * alongY;
  alongY *= lens.y;
  float xx = dot(alongX, alongX) + lowPass, xy = dot(alongX, alongY), yy = dot(alongY, alongY) + lowPass;
  float mean = 0.5 * (xx + yy), spread = length(vec2(0.5 * (xx - yy), xy));
  float large = mean + spread, small = max(mean - spread, lowPass);
  vec2 axis = abs(xy) > 1e-6 * mean ? normalize(vec2(xy, large - xx)) : (xx >= yy ? vec2(1, 0) : vec2(0, 1));
  float reach = sqrt(2.0 * log(opacity / LEAST_ALPHA)); // standard deviations at which alpha is the least that is drawn
  away = corner * reach;
  vec2 at = middle + away.x * sqrt(large) * axis + away.y * sqrt(small) * vec2(-axis.y, axis.x);
  colour = texelFetch(colours, place, 0).rgb;
  for (int degree = 0; degree < degrees; degree++) colour += basis[degree] * texelFetch(shades, ivec3(place, degree), 0).rgb;
  colour = clamp(colour, 0.0, 1.0);
  gl_Position = vec4(2.0 * at.x / size.x - 1.0, 1.0 - 2.0 * at.y / size.y, 0, 1);
}`;

export const GAUSSIAN_FRAGMENT = `#version 300 es
precision highp float;
in vec3 colour;
in vec2 away;
in float opacity;
out vec4 drawn;
void main() {
  float alpha = min(opacity * exp(-0.5 * dot(away, away)), 0.999);
  if (alpha < 1.0 / 255.0) discard;
  drawn = vec4(colour * alpha, alpha);
}`;

/** One triangle that covers the picture. */
export const COPY_VERTEX = `#version 300 es
in vec2 corner;
void main() { gl_Position = vec4(corner, 0, 1); }`;

export const COPY_FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform sampler2D picture;
out vec4 drawn;
void main() { drawn = vec4(texelFetch(picture, ivec2(gl_FragCoord.xy), 0).rgb, 1); }`;
