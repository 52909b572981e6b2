/* A film of two eyes: one of them, both beside each other, mixed for red-cyan glasses, or in turn. */
(() => {
  const $ = (id) => document.getElementById(id), root = document.documentElement, film = $("film"), canvas = $("canvas");
  const WAYS = ["left", "right", "parallel", "cross", "anaglyph", "wiggle"], TURN = 190, GAP = 0.004;
  const MIX = `#version 300 es
    precision highp float;
    uniform sampler2D film;
    uniform vec4 left, right; // where the eyes are in the film: corner, size
    uniform vec2 fit; // parts of the canvas that the picture takes
    uniform int way;
    in vec2 at;
    out vec4 color;
    ${Gl.DUBOIS}
    vec3 eye(vec4 part, vec2 place) {
      vec2 edge = 0.5 / vec2(textureSize(film, 0));
      return texture(film, clamp(part.xy + place * part.zw, part.xy + edge, part.xy + part.zw - edge)).rgb;
    }
    void main() {
      vec2 place = (vec2(at.x, 1.0 - at.y) - 0.5) / fit + 0.5;
      if (any(greaterThan(abs(place - 0.5), vec2(0.5)))) { color = vec4(0.0); return; }
      vec3 seen;
      if (way <= 1) seen = eye(way == 0 ? left : right, place);
      else if (way == 4) seen = dubois(eye(left, place), eye(right, place));
      else {
        if (abs(place.x - 0.5) < ${GAP}) { color = vec4(0.0); return; }
        bool first = place.x < 0.5;
        vec2 within = vec2((place.x - (first ? 0.0 : 0.5 + ${GAP})) / (0.5 - ${GAP}), place.y);
        seen = eye(first == (way == 2) ? left : right, within);
      }
      color = vec4(seen, 1.0);
    }`;
  let dirty = true, shown = -1;

  function notice(text) {
    $("notice").textContent = text;
    $("notice").hidden = false;
  }

  function loaded(state) {
    $("loading").hidden = true;
    root.dataset.state = state;
  }

  /** Some browsers load no picture before somebody presses Play. */
  function idle() {
    if (film.networkState === film.NETWORK_IDLE && film.readyState < film.HAVE_CURRENT_DATA) $("loading").hidden = true;
  }

  /** Where each eye is in the film, and how wide its picture is for its height. */
  function eyes() {
    const layout = $("layout").value, half = layout.startsWith("half-"), whole = film.videoWidth / film.videoHeight || 16 / 9;
    const parts = {
      one: [[0, 0, 1, 1], [0, 0, 1, 1]], sbs: [[0, 0, 0.5, 1], [0.5, 0, 0.5, 1]], tb: [[0, 0, 1, 0.5], [0, 0.5, 1, 0.5]],
    }[layout.replace("half-", "")];
    const aspect = half || layout === "one" ? whole : layout === "sbs" ? whole / 2 : whole * 2;
    return { parts: $("swap").checked ? parts.reverse() : parts, aspect };
  }

  const gl = Gl.context(canvas, { alpha: true, antialias: false, depth: false });
  let mix = null;
  try {
    if (gl) {
      mix = Gl.program(gl, Gl.WHOLE, MIX);
      Gl.texture(gl, gl.LINEAR);
      gl.bindVertexArray(gl.createVertexArray());
    }
  } catch (error) {
    notice(`The view cannot be drawn: ${error.message}`);
  }
  if (!mix) {
    if ($("notice").hidden) notice("The eyes are taken apart with WebGL 2, which this browser does not offer or has turned off. The film is shown as it is.");
    canvas.hidden = true;
    film.classList.add("plain");
    for (const id of ["way", "layout", "swap", "whole"]) $(id).disabled = true;
    film.controls = true;
    for (const id of ["player"]) $(id).hidden = true;
  }

  function paint(now) {
    const { parts: [left, right], aspect } = eyes(), chosen = $("layout").value === "one" ? "left" : $("way").value;
    const way = chosen === "wiggle" ? WAYS[Math.floor(now / TURN) % 2] : chosen, two = way === "parallel" || way === "cross";
    const wide = (two ? 2 : 1) * aspect, room = canvas.width / canvas.height;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.useProgram(mix.made);
    gl.uniform4f(mix.at.left, ...left);
    gl.uniform4f(mix.at.right, ...right);
    gl.uniform2f(mix.at.fit, Math.min(1, wide / room), Math.min(1, room / wide));
    gl.uniform1i(mix.at.way, WAYS.indexOf(way));
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  function resize() {
    const sharp = Math.min(devicePixelRatio, 2);
    [canvas.width, canvas.height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(2, Math.round(side * sharp)));
    dirty = true;
  }

  function draw(now) {
    if (film.readyState < 2) return;
    if (film.currentTime !== shown || dirty) {
      shown = film.currentTime;
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, film);
      dirty = true;
    }
    if (!dirty && $("way").value !== "wiggle") return;
    dirty = false;
    paint(now);
    loaded("ready");
  }

  function clock() {
    const length = Number.isFinite(film.duration) ? film.duration : 0;
    $("time").max = length;
    $("time").value = film.currentTime;
    $("clock").textContent = `${film.currentTime.toFixed(1)} / ${length.toFixed(1)} s`;
    $("play").textContent = film.paused ? "▶︎" : "❚❚";
    $("play").setAttribute("aria-label", film.paused ? "Play" : "Pause");
    $("sound").setAttribute("aria-pressed", String(!film.muted));
  }

  const run = () => (film.paused ? film.play().catch(() => {}) : film.pause());
  function choose(way) {
    $("way").value = way;
    dirty = true;
  }
  function arrange() {
    $("way").disabled = !mix || $("layout").value === "one";
    dirty = true;
  }

  $("play").addEventListener("click", run);
  $("time").addEventListener("input", () => { film.currentTime = Number($("time").value); });
  $("sound").addEventListener("click", () => { film.muted = !film.muted; });
  $("whole").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen()));
  for (const id of ["way", "swap", "layout"]) $(id).addEventListener("change", arrange);
  for (const event of ["timeupdate", "play", "pause", "durationchange", "seeked", "volumechange"]) film.addEventListener(event, clock);
  film.addEventListener("suspend", idle);
  film.addEventListener("error", () => {
    notice("This browser cannot play the film: it does not know its codec, or the file is damaged. Chromium and Firefox play H.264, VP9 and AV1.");
    loaded("error");
  });
  canvas.addEventListener("webglcontextlost", () => notice("The browser has taken the graphics card away from this page. Load it again."));
  document.addEventListener("keydown", (event) => {
    const letter = event.key.toLowerCase(), number = Number(letter);
    const filling = event.target.closest("select, input:not([type=checkbox])"), pressing = event.target.closest("button, input");
    const by = (seconds) => () => { film.currentTime = Math.max(0, Math.min(film.duration || 0, film.currentTime + seconds)); };
    const wanted = number >= 1 && number <= WAYS.length ? () => choose(WAYS[number - 1]) : {
      " ": pressing ? null : run, m: () => { film.muted = !film.muted; }, f: () => $("whole").click(), arrowleft: by(-2), arrowright: by(2),
      ",": by(-1 / 24), ".": by(1 / 24),
    }[letter];
    if (filling || event.ctrlKey || event.metaKey || event.altKey || !wanted) return;
    event.preventDefault();
    wanted();
  });

  clock();
  arrange();
  idle();
  if (!mix) {
    loaded("plain");
    return;
  }
  new ResizeObserver(resize).observe(canvas);
  resize();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) film.play().catch(() => {});
  (function tick(now) {
    draw(now);
    requestAnimationFrame(tick);
  })(performance.now());
})();
