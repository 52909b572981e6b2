/* The view: one eye, two beside each other, or two mixed for red-cyan glasses. */
const Stage = (() => {
  const MIX = `#version 300 es
    precision highp float;
    uniform sampler2D left, right;
    in vec2 at;
    out vec4 color;
    ${Gl.DUBOIS}
    void main() { color = vec4(dubois(texture(left, at).rgb, texture(right, at).rgb), 1.0); }`;
  const GROUND = [0.075, 0.09, 0.115], SLOW = 55, RATIOS = [1, 0.7, 0.5];
  const BARS = 128; // pixels above and below, together, that buttons cover: a scene without a picture to match is fitted between

  /** Whether the browser draws with WebGL 2. */
  const able = () => Gl.context(document.createElement("canvas")) !== null;

  /** The view of a scene in a canvas, from a camera. */
  function create(canvas, scene, camera) {
    const gl = Gl.context(canvas, { alpha: true, antialias: false, depth: false });
    const splats = Splats.create(gl, scene), { made, at } = Gl.program(gl, Gl.WHOLE, MIX), bare = gl.createVertexArray();
    const nodes = new Float32Array(8 * scene.nodes.count), near = 0.02 * scene.depth;
    const eyes = [0, 1].map(() => ({ frame: gl.createFramebuffer(), texture: Gl.texture(gl, gl.LINEAR) }));
    let dirty = true, wanted = true, time = NaN, mode = "one", base = 0.03, ratio = 0, late = 0, drawn = 0, arranged = false, shown = false;
    const sort = Sort.create(scene, (rows) => {
      splats.arrange(rows);
      dirty = arranged = true;
    });

    const share = () => (scene.nodes.count && scene.span > 0 ? (time - scene.first) / scene.span : 0);

    function frameAt() {
      let frame = 0;
      while (frame + 1 < scene.frames && scene.times[frame + 1] <= time) frame++;
      return frame;
    }

    /** Show a time, seconds. */
    function seek(to) {
      if (to === time) return;
      const before = frameAt();
      time = to;
      if (scene.nodes.count) splats.pose(Motion.nodesAt(scene, time, nodes));
      if (scene.nodes.count || before !== frameAt()) wanted = true;
      dirty = true;
    }

    function ask() {
      const { turn, shift } = camera.pose(), frame = frameAt();
      sort.ask({
        forward: [turn[6], turn[7], turn[8], shift[2]], nodes: scene.nodes.count ? nodes.slice() : null, near, share: share(),
        first: scene.starts[frame], last: scene.starts[frame + 1],
      });
    }

    /** Draw what an eye sees that stands aside of the camera by some metres; the point looked at stays where it is. */
    function eye(aside, x, width, height) {
      const { turn, shift } = camera.pose(), [fx, fy, cx, cy] = scene.K, [wide, high] = scene.size;
      const bars = scene.fitted ? 0 : Math.min(0.4, BARS / (canvas.clientHeight || 1));
      const fit = Math.min(width / wide, (1 - bars) * height / high), wider = 0.3 * (scene.fitted ? Math.max(1, fit * fit) : 1);
      const lens = [fx * fit, fy * fit, (width - wide * fit) / 2 + cx * fit + fx * fit * aside / camera.depth(), (height - high * fit) / 2 + cy * fit];
      const view = [turn[0], turn[3], turn[6], 0, turn[1], turn[4], turn[7], 0, turn[2], turn[5], turn[8], 0, shift[0] - aside, shift[1], shift[2], 1];
      splats.draw({ x, width, height, view, lens, wider, near, share: share() });
    }

    function target(frame, color) {
      gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
      gl.clearColor(...color);
      gl.clear(gl.COLOR_BUFFER_BIT);
    }

    function paint() {
      const { width, height } = canvas, aside = base * camera.depth() / 2;
      if (mode === "anaglyph") {
        for (const [number, one] of eyes.entries()) {
          target(one.frame, [...GROUND, 1]);
          eye(number ? aside : -aside, 0, width, height);
        }
        target(null, [...GROUND, 1]);
        gl.viewport(0, 0, width, height);
        gl.useProgram(made);
        gl.bindVertexArray(bare);
        for (const [number, one] of eyes.entries()) {
          gl.activeTexture(gl.TEXTURE0 + number);
          gl.bindTexture(gl.TEXTURE_2D, one.texture);
          gl.uniform1i(at[number ? "right" : "left"], number);
        }
        gl.drawArrays(gl.TRIANGLES, 0, 3);
        return;
      }
      target(null, [0, 0, 0, 0]);
      if (mode === "one") return eye(0, 0, width, height);
      const half = Math.floor(width / 2), first = mode === "cross" ? aside : -aside;
      eye(first, 0, half, height);
      eye(-first, width - half, half, height);
    }

    function resize() {
      const sharp = Math.min(devicePixelRatio, 2) * RATIOS[ratio];
      const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(2, Math.round(side * sharp)));
      if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      for (const one of eyes) {
        gl.bindTexture(gl.TEXTURE_2D, one.texture);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, mode === "anaglyph" ? width : 1, mode === "anaglyph" ? height : 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
        gl.bindFramebuffer(gl.FRAMEBUFFER, one.frame);
        gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, one.texture, 0);
      }
      dirty = true;
    }

    function coarser(to) {
      if (to === ratio || to < 0 || to >= RATIOS.length) return;
      ratio = to;
      late = 0;
      resize();
    }

    /** Draw if anything has changed; `spent` milliseconds lie between this picture and the one before. */
    function draw(moved, spent) {
      if (moved) dirty = wanted = true;
      if (wanted) {
        wanted = false;
        ask();
      }
      if (!dirty) {
        if (++drawn > 12) coarser(0); // at rest the picture is as sharp as the screen
        return false;
      }
      drawn = 0;
      late = spent > SLOW ? late + 1 : Math.max(0, late - 1); // slow machines get fewer pixels while something moves
      if (late > 8) coarser(ratio + 1);
      dirty = false;
      paint();
      shown = arranged;
      return true;
    }

    function show(kind, apart) {
      const change = kind !== mode;
      [mode, base, dirty] = [kind, apart, true];
      if (change) resize();
    }

    /** The picture as a PNG file, on the page's ground. */
    function picture() {
      coarser(0);
      paint();
      const copy = document.createElement("canvas"), pen = copy.getContext("2d");
      [copy.width, copy.height] = [canvas.width, canvas.height];
      pen.fillStyle = `rgb(${GROUND.map((value) => Math.round(value * 255))})`;
      pen.fillRect(0, 0, copy.width, copy.height);
      pen.drawImage(canvas, 0, 0);
      return new Promise((done) => copy.toBlob(done, "image/png"));
    }

    new ResizeObserver(resize).observe(canvas);
    resize();
    seek(scene.first);
    return { draw, picture, seek, show, shown: () => shown };
  }

  return { able, create };
})();
