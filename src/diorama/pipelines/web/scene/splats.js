/* Gaussians drawn as ellipses (Zwicker et al. 2001, Kerbl et al. 2023), the farthest first, by WebGL 2. */
const Splats = (() => {
  const WIDE = 2048;
  const VERTEX = `#version 300 es
    precision highp float;
    precision highp int;
    precision highp usampler2D;
    precision highp sampler2D;
    uniform usampler2D table;
    uniform sampler2D nodes;
    uniform mat4 view;
    uniform vec4 lens; // focal lengths and middle, pixels
    uniform vec3 size; // of the picture, pixels; square pixels by which all is wider, against gaps
    uniform vec2 near; // metres; share of the time
    uniform int texels;
    in uint row;
    out vec2 at;
    flat out vec4 tint;

    uvec4 texel(int index) { return texelFetch(table, ivec2(index & ${WIDE - 1}, index / ${WIDE}), 0); }
    vec4 node(int index) { return texelFetch(nodes, ivec2(index & ${WIDE - 1}, index / ${WIDE}), 0); }

    vec4 bytes(uint packed) { return vec4((uvec4(packed) >> uvec4(0, 8, 16, 24)) & 0xffu) / 255.0; }

    mat3 rotation(vec4 q) {
      vec3 a = q.yzw;
      return mat3(1.0 - 2.0 * (a.y * a.y + a.z * a.z), 2.0 * (a.x * a.y + q.x * a.z), 2.0 * (a.x * a.z - q.x * a.y),
        2.0 * (a.x * a.y - q.x * a.z), 1.0 - 2.0 * (a.x * a.x + a.z * a.z), 2.0 * (a.y * a.z + q.x * a.x),
        2.0 * (a.x * a.z + q.x * a.y), 2.0 * (a.y * a.z - q.x * a.x), 1.0 - 2.0 * (a.x * a.x + a.y * a.y));
    }

    void main() {
      gl_Position = vec4(0.0, 0.0, 2.0, 1.0); // out of sight
      at = vec2(0.0);
      int base = int(row) * texels;
      uvec4 first = texel(base), second = texel(base + 1);
      vec3 mean = uintBitsToFloat(first.xyz);
      tint = bytes(first.w);
      mat3 turn = rotation(normalize(vec4(unpackSnorm2x16(second.x), unpackSnorm2x16(second.y))));
      vec3 scale = exp(vec3(unpackHalf2x16(second.z), unpackHalf2x16(second.w).x));
      if (texels == 3) {
        uvec4 third = texel(base + 2);
        ivec4 links = ivec4(third.x & 0xffffu, third.x >> 16, third.y & 0xffffu, third.y >> 16);
        vec4 weights = bytes(third.z), mixed = vec4(0.0);
        weights /= dot(weights, vec4(1.0));
        vec3 led = vec3(0.0);
        vec4 strongest = node(2 * links.x); // the links stand in order of their weights
        for (int k = 0; k < 4; k++) {
          if (weights[k] == 0.0) continue;
          vec4 q = node(2 * links[k]);
          led += weights[k] * (rotation(q) * mean + node(2 * links[k] + 1).xyz);
          mixed += dot(q, strongest) < 0.0 ? -weights[k] * q : weights[k] * q; // q and -q turn alike
        }
        mean = led;
        turn = rotation(normalize(mixed)) * turn;
        vec2 there = unpackHalf2x16(third.w);
        float away = (near.y - there.x) / there.y;
        tint.a *= exp(-0.5 * away * away);
      }
      vec3 p = (view * vec4(mean, 1.0)).xyz;
      if (p.z <= near.x || tint.a < 1.0 / 255.0) return;
      mat3 axes = mat3(view) * turn * mat3(scale.x, 0.0, 0.0, 0.0, scale.y, 0.0, 0.0, 0.0, scale.z);
      vec2 beside = 0.15 * size.xy / lens.xy;
      vec2 slope = clamp(p.xy / p.z, -lens.zw / lens.xy - beside, (size.xy - lens.zw) / lens.xy + beside);
      vec3 across = vec3(1.0, 0.0, -slope.x) * axes * (lens.x / p.z), down = vec3(0.0, 1.0, -slope.y) * axes * (lens.y / p.z);
      float xx = dot(across, across) + size.z, xy = dot(across, down), yy = dot(down, down) + size.z;
      float half_way = 0.5 * (xx + yy), apart = length(vec2(0.5 * (xx - yy), xy)), most = half_way + apart;
      float least = max((xx * yy - xy * xy) / most, 0.5 * size.z);
      vec2 main_axis = abs(xy) > 1e-6 * most ? normalize(vec2(xy, most - xx)) : (xx >= yy ? vec2(1.0, 0.0) : vec2(0.0, 1.0));
      float reach = sqrt(2.0 * log(255.0 * tint.a));
      at = (vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0) * reach;
      vec2 place = lens.xy * p.xy / p.z + lens.zw + main_axis * sqrt(most) * at.x + vec2(-main_axis.y, main_axis.x) * sqrt(least) * at.y;
      gl_Position = vec4(2.0 * place.x / size.x - 1.0, 1.0 - 2.0 * place.y / size.y, 0.0, 1.0);
    }`;
  const FRAGMENT = `#version 300 es
    precision highp float;
    in vec2 at;
    flat in vec4 tint;
    out vec4 color;
    void main() {
      float alpha = min(0.999, tint.a * exp(-0.5 * dot(at, at)));
      if (alpha < 1.0 / 255.0) discard;
      color = vec4(tint.rgb * alpha, alpha);
    }`;

  function upload(gl, made, values, kind) {
    const texels = Math.max(1, Math.ceil(values.length / 4)), rows = Math.ceil(texels / WIDE), full = new values.constructor(4 * WIDE * rows);
    full.set(values);
    gl.bindTexture(gl.TEXTURE_2D, made);
    if (kind === "whole") gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32UI, WIDE, rows, 0, gl.RGBA_INTEGER, gl.UNSIGNED_INT, full);
    else gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, WIDE, rows, 0, gl.RGBA, gl.FLOAT, full);
  }

  /** What draws a scene's Gaussians in a context. */
  function create(gl, { table, texels }) {
    if (table.length / 4 / WIDE > gl.getParameter(gl.MAX_TEXTURE_SIZE)) throw new Error("the scene has more Gaussians than this graphics card can hold");
    const { made, at } = Gl.program(gl, VERTEX, FRAGMENT), held = gl.createVertexArray(), rows = gl.createBuffer();
    const [stored, posed] = [Gl.texture(gl, gl.NEAREST), Gl.texture(gl, gl.NEAREST)];
    let count = 0;
    upload(gl, stored, table, "whole");
    upload(gl, posed, new Float32Array(4), "real");
    gl.bindVertexArray(held);
    gl.bindBuffer(gl.ARRAY_BUFFER, rows);
    const row = gl.getAttribLocation(made, "row");
    gl.enableVertexAttribArray(row);
    gl.vertexAttribIPointer(row, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(row, 1);

    const pose = (nodes) => upload(gl, posed, nodes, "real");

    function arrange(found) {
      count = found.length;
      gl.bindBuffer(gl.ARRAY_BUFFER, rows);
      gl.bufferData(gl.ARRAY_BUFFER, found, gl.DYNAMIC_DRAW);
    }

    /** Draw into a part of the target; `lens` is for that part, `view` a matrix column by column. */
    function draw({ x, width, height, view, lens, wider, near, share }) {
      gl.viewport(x, 0, width, height);
      if (!count) return;
      gl.useProgram(made);
      gl.bindVertexArray(held);
      for (const [unit, one, name] of [[0, stored, "table"], [1, posed, "nodes"]]) {
        gl.activeTexture(gl.TEXTURE0 + unit);
        gl.bindTexture(gl.TEXTURE_2D, one);
        gl.uniform1i(at[name], unit);
      }
      gl.uniformMatrix4fv(at.view, false, view);
      gl.uniform4f(at.lens, ...lens);
      gl.uniform3f(at.size, width, height, wider);
      gl.uniform2f(at.near, near, share);
      gl.uniform1i(at.texels, texels);
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
      gl.disable(gl.BLEND);
    }

    return { arrange, draw, pose };
  }

  return { create };
})();
