/* WebGL 2: programs, textures, and two eyes mixed into one picture for red-cyan glasses. */
const Gl = (() => {
  /** A context of a canvas, or null where the browser offers none. What was drawn stays: captures find it. */
  function context(canvas, options) {
    try { return canvas.getContext("webgl2", { preserveDrawingBuffer: true, ...options }); } catch { return null; }
  }

  /** A program with the places of its uniforms. */
  function program(gl, vertex, fragment) {
    const made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) || "a shader does not compile");
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made) || "a program does not link");
    const at = {};
    for (let i = 0; i < gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS); i++) {
      const { name } = gl.getActiveUniform(made, i);
      at[name] = gl.getUniformLocation(made, name);
    }
    return { made, at };
  }

  /** A texture that is not repeated. */
  function texture(gl, filter) {
    const made = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, made);
    for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, key, filter);
    for (const key of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, key, gl.CLAMP_TO_EDGE);
    return made;
  }

  /* One triangle over the whole screen; `at` runs from 0 to 1, upwards. */
  const WHOLE = `#version 300 es
    out vec2 at;
    void main() {
      at = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0;
      gl_Position = vec4(at * 2.0 - 1.0, 0.0, 1.0);
    }`;

  /* Dubois 2001, red-cyan glasses, mixed in linear light and clipped for each eye. */
  const DUBOIS = `
    vec3 light(vec3 code) { return mix(code / 12.92, pow((code + 0.055) / 1.055, vec3(2.4)), step(0.04045, code)); }
    vec3 code(vec3 light) { return mix(light * 12.92, 1.055 * pow(max(light, 0.0031308), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, light)); }
    vec3 dubois(vec3 left, vec3 right) {
      const mat3 L = mat3(0.437, -0.062, -0.048, 0.449, -0.062, -0.050, 0.164, -0.024, -0.017);
      const mat3 R = mat3(-0.011, 0.377, -0.026, -0.032, 0.761, -0.093, -0.007, 0.009, 1.234);
      return code(min(clamp(L * light(left), 0.0, 1.0) + clamp(R * light(right), 0.0, 1.0), 1.0));
    }`;

  return { DUBOIS, WHOLE, context, program, texture };
})();
