/* The view: light, ground, camera, the figure, the skeleton over it, and what a click on them means. */
const Stage = (() => {
  const { AnimationMixer, Color, DirectionalLight, DoubleSide, HemisphereLight, Mesh, Object3D, OrbitControls,
    PerspectiveCamera, PlaneGeometry, Raycaster, Scene, ShaderMaterial, ShadowMaterial, TransformControls, Vector2,
    Vector3, WebGLRenderer } = THREE;
  const LINES = `
    varying vec2 at; uniform float cell, reach;
    float lines(float step, float width) {
      vec2 near = abs(fract(at / step - 0.5) - 0.5) * step, sharp = fwidth(at);
      vec2 drawn = 1.0 - smoothstep(sharp * width, sharp * (width + 1.0), near);
      return max(drawn.x, drawn.y);
    }
    void main() {
      float fade = 1.0 - smoothstep(0.25, 1.0, length(at) / reach);
      gl_FragColor = vec4(vec3(0.62, 0.69, 0.82), fade * max(0.10 * lines(cell, 0.2), 0.22 * lines(cell * 5.0, 0.4)));
    }`;
  const PLACE = "varying vec2 at; void main() { at = position.xy; gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0); }";

  /** Whether the browser draws with WebGL 2. */
  function able() {
    try { return Boolean(document.createElement("canvas").getContext("webgl2")); } catch { return false; }
  }

  function groundOf(size, middle, floor) {
    const cell = 10 ** Math.round(Math.log10(size)) / 10, reach = 2.6 * size, shape = new PlaneGeometry(2 * reach, 2 * reach);
    const grid = new Mesh(shape, new ShaderMaterial({
      uniforms: { cell: { value: cell }, reach: { value: reach } }, vertexShader: PLACE, fragmentShader: LINES,
      transparent: true, depthWrite: false, side: DoubleSide,
    }));
    const shade = new Mesh(shape, new ShadowMaterial({ opacity: 0.42, depthWrite: false }));
    shade.receiveShadow = true;
    for (const part of [grid, shade]) {
      part.rotation.x = -Math.PI / 2;
      part.position.set(Math.round(middle.x / cell) * cell, floor, Math.round(middle.z / cell) * cell);
    }
    shade.renderOrder = -1;
    return [grid, shade];
  }

  function sunOf(size) {
    const sun = new DirectionalLight(0xfff3e2, 2.0), reach = 1.3 * size;
    sun.castShadow = true;
    sun.shadow.mapSize.set(1024, 1024);
    sun.shadow.radius = 5;
    sun.shadow.normalBias = 0.015 * size;
    sun.shadow.bias = -0.0008;
    Object.assign(sun.shadow.camera, { left: -reach, right: reach, top: reach, bottom: -reach, near: 0.1 * size, far: 8 * size });
    return sun;
  }

  /** The view of a model in a canvas; `heard` has the functions select(name) and moved(at, done). */
  function create(canvas, model, heard) {
    const renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    renderer.autoClear = false;
    renderer.setClearColor(0x000000, 0);
    renderer.shadowMap.enabled = true;
    const scene = new Scene(), middle = model.box.getCenter(new Vector3());
    const size = Math.max(model.box.getSize(new Vector3()).length(), 1e-6), camera = new PerspectiveCamera(32, 1, size / 200, size * 60);
    const sun = sunOf(size), rim = new DirectionalLight(0x9db9ff, 1.1), over = Bones.create(model, size);
    scene.add(model.scene, ...groundOf(size, middle, model.box.min.y), sun, sun.target, rim, rim.target,
      new HemisphereLight(0xe6edff, 0x6b6258, 1.75));

    const orbit = new OrbitControls(camera, canvas);
    orbit.enableDamping = true;
    orbit.dampingFactor = 0.12;
    orbit.minDistance = size / 50;
    orbit.maxDistance = size * 20;
    orbit.listenToKeyEvents(canvas);

    const handle = new TransformControls(camera, canvas), grip = new Object3D();
    handle.setSize(0.75);
    over.scene.add(grip, handle.getHelper());
    handle.addEventListener("dragging-changed", ({ value }) => { orbit.enabled = !value; });
    handle.addEventListener("change", () => { dirty = true; });
    handle.addEventListener("objectChange", () => heard.moved(grip.position.toArray(), false));
    handle.addEventListener("mouseUp", () => heard.moved(grip.position.toArray(), true));

    const mixer = new AnimationMixer(model.scene), weights = Paint.material();
    const coats = model.surfaces.map(({ mesh }) => ({
      own: [mesh.geometry, mesh.material], painted: [Paint.twin(mesh.geometry), weights],
    }));
    let dirty = true, action = null, followed = null, rig = new Map();
    for (const { mesh } of model.surfaces) mesh.castShadow = mesh.receiveShadow = true;

    /** Show a rig; `shown` is {surface, skeleton, weights}, `selected` a joint's name or null. */
    function show(found, shown, selected) {
      rig = found;
      over.show(rig, selected);
      over.skeleton.visible = shown.skeleton;
      model.surfaces.forEach((surface, number) => {
        const { mesh } = surface, { own, painted } = coats[number];
        if (shown.weights) Paint.fill(surface, painted[0].attributes.color, rig, selected);
        [mesh.geometry, mesh.material] = shown.weights ? painted : own;
        mesh.visible = shown.surface || shown.weights;
      });
      dirty = true;
    }

    /** Start a clip of the model, or go to the rest pose for null. */
    function play(clip) {
      mixer.stopAllAction();
      action = clip === null ? null : mixer.clipAction(clip).play();
      seek(0);
    }

    /** Go to a time of the clip, seconds. */
    function seek(time) {
      if (action) action.time = time;
      mixer.update(0);
      model.scene.updateMatrixWorld(true);
      over.update();
      follow();
      dirty = true;
    }

    /** Camera and light go along with the root over the ground. */
    function follow() {
      const lead = model.joints.find((joint) => joint.bone);
      if (!lead) return;
      const now = new Vector3().setFromMatrixPosition(lead.bone.matrixWorld).setY(0);
      if (followed) for (const part of [camera.position, orbit.target]) part.add(now).sub(followed);
      followed = now;
      light();
    }

    function light() {
      sun.target.position.copy(orbit.target).setY(middle.y);
      sun.position.copy(sun.target.position).addScaledVector(new Vector3(-0.45, 1, 0.75).normalize(), 3.5 * size);
      rim.target.position.copy(sun.target.position);
      rim.position.copy(sun.target.position).add(new Vector3(0.8, 0.5, -1).multiplyScalar(size));
    }

    /** See the whole figure. */
    function frame() {
      const wide = Math.min(1, camera.aspect), distance = 0.52 * size / Math.tan((camera.fov * Math.PI) / 360) / wide;
      const lead = model.joints.find((joint) => joint.bone), shift = new Vector3();
      if (lead) shift.setFromMatrixPosition(lead.bone.matrixWorld).sub(new Vector3().fromArray(lead.at)).setY(0);
      orbit.target.copy(middle).add(shift).y -= 0.03 * size;
      camera.position.copy(orbit.target).addScaledVector(new Vector3(0.62, 0.3, 1).normalize(), distance);
      light();
      dirty = true;
    }

    /** Put the handle at a place, or take it away for null. */
    function grab(at) {
      if (at === null) return handle.detach();
      grip.position.fromArray(at);
      return handle.attach(grip);
    }

    function pick(x, y) {
      const box = canvas.getBoundingClientRect(), at = new Vector2(x - box.left, y - box.top), seen = new Vector3();
      const away = (point) => {
        seen.copy(point).project(camera);
        return seen.z > 1 ? Infinity : Math.hypot((seen.x + 1) * box.width / 2 - at.x, (1 - seen.y) * box.height / 2 - at.y);
      };
      const joint = over.skeleton.visible ? over.near(away, 10) : null;
      if (joint !== null) return joint;
      const ray = new Raycaster();
      ray.setFromCamera(new Vector2(2 * at.x / box.width - 1, 1 - 2 * at.y / box.height), camera);
      const visible = model.surfaces.filter(({ mesh }) => mesh.visible);
      for (const { mesh } of visible) if (mesh.isSkinnedMesh) mesh.boundingBox = mesh.boundingSphere = null;
      const hit = ray.intersectObjects(visible.map(({ mesh }) => mesh), false)[0];
      return hit ? Paint.strongest(visible.find(({ mesh }) => mesh === hit.object), rig, hit) : null;
    }

    let pressed = null;
    canvas.addEventListener("pointerdown", (event) => { pressed = [event.clientX, event.clientY]; });
    canvas.addEventListener("pointerup", (event) => {
      const still = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 4;
      pressed = null;
      if (still && event.button === 0 && !handle.axis) heard.select(pick(event.clientX, event.clientY));
    });

    function resize() {
      const { clientWidth: width, clientHeight: height } = canvas;
      renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
      renderer.setSize(width, height, false);
      camera.aspect = Math.max(width, 1) / Math.max(height, 1);
      camera.updateProjectionMatrix();
      dirty = true;
    }

    /** Draw if anything has changed. */
    function draw() {
      if (orbit.update()) dirty = true;
      if (!dirty) return;
      dirty = false;
      renderer.clear();
      renderer.render(scene, camera);
      renderer.clearDepth();
      renderer.render(over.scene, camera);
    }

    new ResizeObserver(resize).observe(canvas);
    resize();
    frame();
    const preview = (found, selected) => { over.show(found, selected); dirty = true; };
    const cut = (found) => { over.cut(found); dirty = true; };
    return { cut, draw, frame, grab, play, preview, seek, show, size };
  }

  return { able, create };
})();
