"""The GLSL programs of render.py: surfaces, their shadows, the ground disc and the sky. Light is linear RGB until `display`."""

DISPLAY = """
vec3 display(vec3 linear) {
    // A shoulder that keeps hue, then the sRGB curve approximated by its gamma.
    vec3 mapped = linear * (1.0 + linear / 9.0) / (1.0 + linear);
    return pow(clamp(mapped * 1.25, 0.0, 1.0), vec3(1.0 / 2.2));
}
"""

LIGHT = (
    DISPLAY
    + """
uniform vec3 harmonics[9];
uniform vec3 sun_direction;
uniform vec3 sun_colour;
uniform float turn;
uniform mat4 to_light;
uniform sampler2DShadow shadow;

vec3 ambient(vec3 n) {
    float c = cos(turn), s = sin(turn);
    n = vec3(c * n.x - s * n.z, n.y, s * n.x + c * n.z);
    vec3 sum = harmonics[0] * 0.282095 + harmonics[1] * 0.488603 * n.y + harmonics[2] * 0.488603 * n.z + harmonics[3] * 0.488603 * n.x
        + harmonics[4] * 1.092548 * n.x * n.y + harmonics[5] * 1.092548 * n.y * n.z + harmonics[6] * 0.315392 * (3.0 * n.z * n.z - 1.0)
        + harmonics[7] * 1.092548 * n.x * n.z + harmonics[8] * 0.546274 * (n.x * n.x - n.y * n.y);
    return max(sum, vec3(0.0));
}

float sunlight(vec3 position, vec3 n) {
    vec3 place = (to_light * vec4(position + 0.02 * n, 1.0)).xyz;
    if (any(greaterThan(abs(place), vec3(1.0)))) return 1.0;
    place = place * 0.5 + 0.5;
    float sum = 0.0;
    vec2 texel = 1.0 / vec2(textureSize(shadow, 0));
    for (int x = -1; x <= 1; x += 2)
        for (int y = -1; y <= 1; y += 2)
            sum += texture(shadow, vec3(place.xy + 0.7 * texel * vec2(x, y), place.z - 0.0015));
    return sum * 0.25;
}
"""
)

SURFACE_VERTEX = """#version 330
in vec3 position; in vec3 normal; in vec3 colour; in vec2 uv;
uniform mat4 to_clip;
out vec3 v_position; out vec3 v_normal; out vec3 v_colour; out vec2 v_uv;
void main() {
    v_position = position; v_normal = normal; v_colour = colour; v_uv = uv;
    gl_Position = to_clip * vec4(position, 1.0);
}
"""

SURFACE_FRAGMENT = (
    "#version 330\n"
    + LIGHT
    + """
in vec3 v_position; in vec3 v_normal; in vec3 v_colour; in vec2 v_uv;
uniform sampler2D albedo; uniform mat3 tint; uniform float gloss; uniform vec3 eye;
out vec4 pixel;
void main() {
    vec3 view = normalize(eye - v_position);
    // Orientation from the triangle itself, so that neither winding nor single-sided cloth can turn a model inside out.
    vec3 flat_normal = cross(dFdx(v_position), dFdy(v_position));
    flat_normal *= dot(flat_normal, view) < 0.0 ? -1.0 : 1.0;
    vec3 n = normalize(v_normal);
    n *= dot(n, flat_normal) < 0.0 ? -1.0 : 1.0;
    vec3 base = clamp(tint * (v_colour * pow(texture(albedo, v_uv).rgb, vec3(2.2))), 0.0, 1.0);
    float lit = sunlight(v_position, n);
    // Near the ground less of the sky is seen.
    float open = mix(0.6, 1.0, smoothstep(0.0, 0.35, v_position.y + 0.25 * (1.0 + n.y)));
    vec3 light = ambient(n) * open + sun_colour * lit * max(dot(n, sun_direction), 0.0);
    vec3 halfway = normalize(view + sun_direction);
    float highlight = gloss * (pow(max(dot(n, halfway), 0.0), 40.0) * lit);
    pixel = vec4(display(base * light + highlight * sun_colour), 1.0);
}
"""
)

SHADOW_VERTEX = """#version 330
in vec3 position;
uniform mat4 to_light;
void main() { gl_Position = to_light * vec4(position, 1.0); }
"""

SHADOW_FRAGMENT = """#version 330
void main() {}
"""

GROUND_VERTEX = """#version 330
in vec2 corner;
uniform mat4 to_clip; uniform float radius;
out vec3 v_position;
void main() {
    v_position = vec3(corner.x * radius, 0.0, corner.y * radius);
    gl_Position = to_clip * vec4(v_position, 1.0);
}
"""

GROUND_FRAGMENT = (
    "#version 330\n"
    + LIGHT
    + """
in vec3 v_position;
uniform sampler2D albedo; uniform float tile; uniform float ground_turn; uniform vec3 ground_tint; uniform float radius;
out vec4 pixel;
void main() {
    float distance_out = length(v_position.xz) / radius;
    if (distance_out > 1.0) discard;
    float c = cos(ground_turn), s = sin(ground_turn);
    vec2 uv = mat2(c, s, -s, c) * v_position.xz / tile;
    vec3 base = pow(texture(albedo, uv).rgb, vec3(2.2)) * ground_tint;
    vec3 n = vec3(0.0, 1.0, 0.0);
    vec3 light = ambient(n) + sun_colour * sunlight(v_position, n) * max(sun_direction.y, 0.0);
    pixel = vec4(display(base * light), 1.0 - smoothstep(0.45, 1.0, distance_out));
}
"""
)

SKY_VERTEX = """#version 330
in vec2 corner;
uniform mat3 to_world;
out vec3 ray;
void main() { ray = to_world * vec3(corner, 1.0); gl_Position = vec4(corner, 0.0, 1.0); }
"""

SKY_FRAGMENT = (
    "#version 330\n"
    + DISPLAY
    + """
in vec3 ray;
uniform sampler2D panorama; uniform float turn; uniform vec3 gain;
out vec4 pixel;
void main() {
    vec3 d = normalize(ray);
    float c = cos(turn), s = sin(turn);
    d = vec3(c * d.x - s * d.z, d.y, s * d.x + c * d.z);
    vec2 uv = vec2(atan(d.x, -d.z) / 6.2831853 + 0.5, 0.5 - asin(clamp(d.y, -1.0, 1.0)) / 3.1415927);
    pixel = vec4(display(textureLod(panorama, uv, 0.0).rgb * gain), 1.0);
}
"""
)
