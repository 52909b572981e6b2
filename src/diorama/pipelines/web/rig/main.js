/* What the page knows, and what each button does to it. */
(async () => {
  const { $, say } = Panels, shown = { surface: true, skeleton: true, weights: false };
  const root = document.documentElement;
  let edits = [], undone = [], selected = null, rig = new Map(), stage = null, clip = null, time = 0, playing = false, unsaved = false;

  function notice(text) {
    $("notice").textContent = text;
    $("notice").hidden = false;
  }

  let model;
  try {
    model = await Model.read($("glb").textContent);
  } catch (error) {
    $("numbers").textContent = "";
    notice(`The model cannot be shown: ${error.message}`);
    for (const part of document.querySelectorAll("button, select, input")) part.disabled = true;
    root.dataset.state = "error";
    return;
  }
  $("glb").remove();
  const start = Model.rigOf(model);

  function redraw() {
    stage?.show(rig, shown, selected);
    sketchCut();
    $("legend").hidden = !(shown.weights && selected !== null);
    $("legend-name").textContent = selected ?? "";
    for (const name of Object.keys(shown)) $(`show-${name}`).setAttribute("aria-pressed", String(shown[name]));
  }

  function select(name) {
    selected = name !== null && rig.has(name) ? name : null;
    Panels.mark(selected, false);
    Panels.joint(rig, selected);
    grab();
    redraw();
  }

  /** Take a list of edits as what is to be done. */
  function accept(list, left, next = selected) {
    rig = Edits.applyAll(start, list, model.near);
    [edits, undone] = [list, left];
    unsaved = list.length > 0;
    const had = Panels.tree(rig, select);
    Panels.edits(edits, undone.length);
    select(next);
    if (had) Panels.mark(selected, true);
  }

  function add(edit, next = selected) {
    try {
      if (edits.length >= Edits.MOST) throw new Error(`there are ${Edits.MOST} edits already`);
      accept([...edits, edit], [], next);
      say(`Done: ${Edits.describe(edit)}`);
    } catch (error) {
      say(`Not done: ${error.message}`, true);
      grab();
      redraw();
    }
  }

  function undo() {
    if (!edits.length) return;
    const edit = edits.at(-1), before = edit.rename ?? edit.split ?? edit.merge?.[0] ?? selected;
    say(`Undone: ${Edits.describe(edit)}`);
    accept(edits.slice(0, -1), [...undone, edit], before);
  }

  function redo() {
    if (!undone.length) return;
    const edit = undone.at(-1), after = edit.into ?? edit.names?.[0] ?? (edit.rename === undefined ? selected : edit.to);
    say(`Done: ${Edits.describe(edit)}`);
    accept([...edits, edit], undone.slice(0, -1), after);
  }

  function begin(number) {
    clip = number === "" ? null : model.animations[Number(number)];
    $("clip").value = number;
    $("time").max = clip ? clip.duration : 1;
    for (const id of ["time", "play", "speed"]) $(id).disabled = clip === null || stage === null;
    stage?.play(clip);
    seek(0);
    sketchCut();
  }

  function seek(to) {
    time = to;
    $("time").value = to;
    $("clock").textContent = clip ? `${to.toFixed(2)} / ${clip.duration.toFixed(2)} s` : "0.00 s";
    if (clip) stage?.seek(to);
  }

  function run(on) {
    playing = on && clip !== null && stage !== null;
    $("play").textContent = playing ? "❚❚" : "▶︎";
    $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  function toggle(name) {
    shown[name] = !shown[name];
    redraw();
  }

  /** The handle stands at the chosen joint while it is wanted, in the rest pose. */
  function grab() {
    const wanted = $("handle").checked && selected !== null;
    if (wanted && clip) {
      run(false);
      begin("");
    }
    stage?.grab(wanted ? rig.get(selected).at : null);
  }

  function moved(at, done) {
    if (selected === null) return;
    const to = at.map((value) => Number(value.toFixed(5)));
    if (done) {
      if (to.some((value, axis) => Math.abs(value - rig.get(selected).at[axis]) > 1e-5)) add({ move: selected, to });
      return;
    }
    Panels.place(to);
    stage.preview(Edits.apply(rig, { move: selected, to }, model.near), selected);
  }

  /** The plane where a split would cut now. */
  function plane() {
    const joint = rig.get(selected), { normal, from, to } = Model.axisOf(model, joint), share = Number($("share").value);
    const at = from.map((value, axis) => Number((value + share * (to[axis] - value)).toFixed(5)));
    return { carrier: joint.carrier, at, normal: normal.map((value) => Number(value.toFixed(5))) };
  }

  function sketchCut() {
    $("share-value").textContent = Number($("share").value).toFixed(2);
    const wanted = selected !== null && $("split").open && stage !== null;
    stage?.cut(wanted ? { ...plane(), radius: 0.09 * stage.size } : null);
  }

  function submit(id, edit) {
    $(id).addEventListener("submit", (event) => {
      event.preventDefault();
      edit();
    });
  }

  function save() {
    const link = Panels.made("a", "", { download: "edits.json" });
    link.href = URL.createObjectURL(new Blob([Edits.write(edits)], { type: "application/json" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    unsaved = false;
    say(`Saved ${edits.length} edit${edits.length === 1 ? "" : "s"} as edits.json`);
  }

  async function load(file) {
    try {
      const found = Edits.read(await file.slice(0, 2e6).text());
      accept(found, []);
      unsaved = false;
      say(`Read ${found.length} edit${found.length === 1 ? "" : "s"}`);
    } catch (error) {
      say(`Not read: ${error.message}`, true);
    }
  }

  submit("rename", () => add({ rename: selected, to: $("name").value.trim() }, $("name").value.trim()));
  submit("move", () => {
    const to = ["x", "y", "z"].map((axis) => ($(axis).value === "" ? NaN : Number($(axis).value)));
    add({ move: selected, to });
  });
  submit("reparent", () => {
    if ($("under").value === rig.get(selected).parent) say(`Not done: ${selected} hangs there already`, true);
    else add({ reparent: selected, under: $("under").value });
  });
  submit("merge", () => add({ merge: [selected, $("into").value], into: $("into").value }, $("into").value));
  submit("split-form", () => {
    const names = [$("near").value.trim(), $("far").value.trim()], { at, normal } = plane();
    if (Model.isCut(model, rig.get(selected), { at, normal })) add({ split: selected, at, normal, names }, names[0]);
    else say("Not done: the plane leaves one half without surface", true);
  });
  $("root").addEventListener("click", () => add({ root: selected }));
  $("handle").addEventListener("change", grab);
  $("share").addEventListener("input", sketchCut);
  $("split").addEventListener("toggle", sketchCut);
  $("undo").addEventListener("click", undo);
  $("redo").addEventListener("click", redo);
  $("save").addEventListener("click", save);
  $("load").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    if ($("file").files.length) load($("file").files[0]);
    $("file").value = "";
  });
  $("play").addEventListener("click", () => run(!playing));
  $("time").addEventListener("input", () => { run(false); seek(Number($("time").value)); });
  $("clip").addEventListener("change", () => {
    $("handle").checked = false;
    grab();
    begin($("clip").value);
    run(true);
  });
  $("frame").addEventListener("click", () => stage?.frame());
  for (const name of Object.keys(shown)) $(`show-${name}`).addEventListener("click", () => toggle(name));
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

  document.addEventListener("keydown", (event) => {
    const letter = event.key.toLowerCase(), typing = event.target.closest("input:not([type=range]),select,textarea");
    const pressing = event.target.closest("button,summary,[type=range]");
    const wanted = event.ctrlKey || event.metaKey
      ? { z: event.shiftKey ? redo : undo, y: redo }[letter]
      : {
        1: () => toggle("surface"), 2: () => toggle("skeleton"), 3: () => toggle("weights"), f: () => stage?.frame(),
        escape: () => select(null), " ": pressing ? null : () => run(!playing),
      }[letter];
    if (typing || event.altKey || !wanted) return;
    event.preventDefault();
    wanted();
  });

  $("numbers").textContent = [[model.vertices, "vertices"], [model.faces, "faces"], [model.joints.length, "joints"],
    [model.animations.length, "animations"]].map(([count, what]) => `${count.toLocaleString("en")} ${count === 1 ? what.slice(0, -1) : what}`).join(" · ");
  const clips = model.animations.map(({ name }, number) => Panels.made("option", name || `animation ${number}`, { value: number }));
  $("clip").append(...clips);
  Panels.keys(select);
  if (!model.joints.length) say("This model has no skeleton: there is nothing to edit.");
  if (Stage.able()) {
    try { stage = Stage.create($("canvas"), model, { select, moved }); } catch (error) { notice(`The view cannot be drawn: ${error.message}`); }
    $("canvas").addEventListener("webglcontextlost", () => notice("The browser has taken the graphics card away from this page. Load it again."));
  } else {
    notice("This page draws with WebGL 2, which this browser does not offer or has turned off. Try another browser, or turn on "
      + "hardware acceleration. The joints can be looked through and edited all the same.");
  }
  for (const id of ["show-surface", "show-skeleton", "show-weights", "frame", "handle"]) $(id).disabled = stage === null;
  accept([], []);
  const clipsBefore = Math.max(0, model.animations.length - (Number(root.dataset.newest) || Infinity));
  begin(stage !== null && model.animations.length ? String(clipsBefore) : "");
  run(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  root.dataset.state = stage === null ? "plain" : "ready";

  let before = performance.now();
  (function tick(now) {
    const spent = Math.min(0.1, Math.max(0, (now - before) / 1000));
    before = now;
    if (playing && clip.duration > 0) seek((time + spent * Number($("speed").value)) % clip.duration);
    stage?.draw();
    requestAnimationFrame(tick);
  })(before);
})();
