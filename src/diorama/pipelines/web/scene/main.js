/* What the page's buttons do. */
(async () => {
  const $ = (id) => document.getElementById(id), root = document.documentElement;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let time = 0, playing = false, way = 1;

  function notice(text) {
    $("notice").textContent = text;
    $("notice").hidden = false;
  }

  let scene;
  try {
    scene = await Data.read($("scene").textContent);
  } catch (error) {
    $("numbers").textContent = "";
    notice(`The scene cannot be shown: ${error.message}`);
    for (const part of document.querySelectorAll("button, select, input")) part.disabled = true;
    $("loading").remove();
    root.dataset.state = "error";
    return;
  }
  $("scene").remove();
  const counts = scene.starts.slice(1).map((end, frame) => end - scene.starts[frame]), number = (value) => value.toLocaleString("en");
  const [least, most] = [Math.min, Math.max].map((pick) => counts.reduce((a, b) => pick(a, b)));
  const told = [`${least < most ? `${number(least)} to ` : ""}${number(most)} Gaussians${scene.frames > 1 ? ` in each of ${scene.frames} moments` : ""}`];
  if (scene.leftOut) told.push(`the ${number(scene.leftOut)} least seen are left out`);
  if (scene.span > 0) told.push(`${scene.span.toFixed(1)} s`);
  $("numbers").textContent = told.join(" · ");
  $("player").hidden = !(scene.span > 0);
  $("time").max = scene.span;
  $("apart").value = 100 * scene.base;

  let stage = null;
  const camera = Camera.create($("canvas"), scene, () => sway(false));
  if (Stage.able()) {
    try { stage = Stage.create($("canvas"), scene, camera); } catch (error) { notice(`The view cannot be drawn: ${error.message}`); }
    $("canvas").addEventListener("webglcontextlost", () => {
      notice("The browser has taken the graphics card away from this page. Load it again.");
      $("loading")?.remove();
      root.dataset.state ??= "error"; // before the first picture: the poster stays
    });
  } else {
    notice("This page draws with WebGL 2, which this browser does not offer or has turned off. Try another browser, or turn on "
      + "hardware acceleration.");
  }
  if (!stage) $("loading")?.remove();
  for (const part of document.querySelectorAll("button, select, input")) part.disabled = stage === null && part.id !== "help";

  function seek(to) {
    time = to;
    $("time").value = to;
    $("clock").textContent = `${to.toFixed(2)} / ${scene.span.toFixed(2)} s`;
    stage?.seek(scene.first + to);
  }

  function run(on) {
    playing = on && stage !== null && scene.span > 0;
    if (playing && $("loop").value === "once" && time >= scene.span) seek(0);
    $("play").textContent = playing ? "❚❚" : "▶︎";
    $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  function advance(seconds) {
    let to = time + way * seconds * Number($("speed").value);
    if (to >= 0 && to < scene.span) return seek(to);
    switch ($("loop").value) {
      case "repeat":
        return seek((to % scene.span + scene.span) % scene.span);
      case "swing":
        way = to < 0 ? 1 : -1;
        return seek(Math.max(0, Math.min(scene.span, to < 0 ? -to : 2 * scene.span - to)));
      default:
        seek(scene.span);
        return run(false);
    }
  }

  function sway(on) {
    camera.sway(on);
    $("sway").setAttribute("aria-pressed", String(on));
  }

  function eyes() {
    const two = $("eyes").value !== "one", share = Number($("apart").value) / 100;
    $("apart-row").hidden = !two;
    $("apart-value").textContent = `${(100 * share).toFixed(1)} %`;
    stage?.show($("eyes").value, share);
  }

  async function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await stage.picture());
    link.download = "scene.png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function help(on) {
    $("keys").hidden = !on;
    $("help").setAttribute("aria-expanded", String(on));
  }

  function reset() {
    camera.reset();
    sway(false);
  }

  $("play").addEventListener("click", () => run(!playing));
  $("time").addEventListener("input", () => {
    run(false);
    seek(Number($("time").value));
  });
  $("loop").addEventListener("change", () => { way = 1; });
  $("sway").addEventListener("click", () => sway(!camera.swaying()));
  $("reset").addEventListener("click", reset);
  $("save").addEventListener("click", save);
  $("help").addEventListener("click", () => help($("keys").hidden));
  for (const [id, event] of [["eyes", "change"], ["apart", "input"]]) $(id).addEventListener(event, eyes);

  document.addEventListener("keydown", (event) => {
    const letter = event.key.toLowerCase(), filling = event.target.closest("input, select");
    const pressing = event.target.closest("button, summary");
    const wanted = {
      " ": pressing ? null : () => run(!playing), r: reset, b: () => sway(!camera.swaying()), p: save, "?": () => help($("keys").hidden),
      escape: () => help(false), ...camera.keys,
    }[letter];
    if (filling || event.ctrlKey || event.metaKey || event.altKey || !wanted || stage === null) return;
    event.preventDefault();
    wanted();
  });

  seek(0);
  eyes();
  run(!calm);
  sway(!calm && stage !== null);
  if (!stage) root.dataset.state = "plain";

  let before = performance.now(), since = before, pictures = 0;
  (function tick(now) {
    const spent = Math.max(0, now - before), seconds = Math.min(0.1, spent / 1000);
    before = now;
    if (playing) advance(seconds);
    if (stage?.draw(camera.tick(seconds), spent)) pictures++;
    if (stage?.shown() && !root.dataset.state) { // until then the poster stays, and the page says that it loads
      $("poster")?.remove();
      $("loading").remove();
      root.dataset.state = "ready";
    }
    if (now - since > 1000) {
      $("rate").textContent = pictures > 1.5 * (now - since) / 1000 ? ` · ${Math.round(1000 * pictures / (now - since))} pictures/s` : "";
      [since, pictures] = [now, 0];
    }
    requestAnimationFrame(tick);
  })(before);
})();
