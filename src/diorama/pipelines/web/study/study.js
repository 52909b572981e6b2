/* Films in turn and questions about each; answers stay in this browser until they are saved as a file. */
(() => {
  const $ = (id) => document.getElementById(id), root = document.documentElement;
  const TURN = 250, APART = 0.06;
  const study = JSON.parse($("study").textContent), place = `diorama-study-${study.id}`;
  const paired = study.scale === "preference", values = paired ? [-3, -2, -1, 0, 1, 2, 3] : [1, 2, 3, 4, 5, 6, 7];
  const words = paired ? ["left much better", "the same", "right much better"] : ["very bad", "fair", "very good"];
  let films = [], keeps = true;

  /** What this browser kept, as far as it makes sense. */
  function load() {
    const fresh = { rater: Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join(""), name: "", at: 0, answers: {} };
    try {
      const kept = JSON.parse(localStorage.getItem(place));
      if (!kept || !/^[0-9a-f]{16}$/.test(kept.rater)) return fresh;
      for (const { number } of study.trials) {
        for (const { key } of study.questions) {
          const value = kept.answers?.[number]?.[key];
          if (values.includes(value)) (fresh.answers[number] ??= {})[key] = value;
        }
      }
      const at = Number.isInteger(kept.at) ? Math.max(0, Math.min(kept.at, study.trials.length)) : 0;
      return { ...fresh, rater: kept.rater, name: clean(String(kept.name ?? "")), at };
    } catch {
      return fresh;
    }
  }

  function keep() {
    try {
      localStorage.setItem(place, JSON.stringify(state));
    } catch {
      if (keeps) notice("This browser keeps nothing: save your answers before you close the page.");
      keeps = false;
    }
  }

  /** Numbers below `most`, the same ones for a seed (Mulberry32). */
  function draws(seed) {
    return (most) => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * most);
    };
  }

  /** Trials as this rater sees them: in an order of its own, for every other rater all with their sides swapped. */
  function ordered(trials, rater) {
    const draw = draws(parseInt(rater.slice(0, 8), 16)), found = [...trials];
    for (let i = found.length - 1; i > 0; i--) {
      const j = draw(i + 1);
      [found[i], found[j]] = [found[j], found[i]];
    }
    const swapped = parseInt(rater.slice(-1), 16) % 2 === 1;
    return found.map((trial) => (swapped ? { ...trial, films: [...trial.films].reverse() } : trial));
  }

  const clean = (text) => text.replace(/[^\p{L}\p{N} _-]/gu, "").slice(0, 40);
  const state = load();
  study.trials = ordered(study.trials, state.rater);

  function notice(text) {
    $("notice").textContent = text;
    $("notice").hidden = !text;
  }

  const make = (tag, more = {}, ...inside) => {
    const found = Object.assign(document.createElement(tag), more);
    found.append(...inside);
    return found;
  };

  const answered = (trial) => study.questions.every(({ key }) => state.answers[trial.number]?.[key] !== undefined);
  const done = () => study.trials.filter(answered).length;

  function progress() {
    const at = Math.min(state.at + 1, study.trials.length);
    $("progress").textContent = `${at} of ${study.trials.length}, ${done()} answered`;
    $("meter").style.width = `${(100 * done()) / study.trials.length}%`;
  }

  /** One film in its frame. */
  function film(file, title) {
    const video = make("video", { muted: true, loop: true, playsInline: true, preload: "auto", src: `media/${file}` });
    video.setAttribute("aria-label", title);
    video.addEventListener("error", () => notice("A film cannot be played here: try another browser."));
    const frame = make("div", { className: "frame" }, video);
    return { video, figure: make("figure", {}, make("figcaption", { textContent: title }), frame), frame };
  }

  function question({ key, text }, trial) {
    const scale = make("div", { className: "scale" });
    for (const value of values) {
      const radio = make("input", { type: "radio", name: key, value: String(value), checked: state.answers[trial.number]?.[key] === value });
      radio.addEventListener("change", () => {
        (state.answers[trial.number] ??= {})[key] = value;
        keep();
        progress();
        $(`question-${key}`).classList.remove("open");
      });
      const shown = paired && value > 0 ? `+${value}` : String(value);
      scale.append(make("label", {}, radio, shown));
    }
    const ends = make("div", { className: "words" }, ...words.map((word) => make("span", { textContent: word })));
    return make("fieldset", { id: `question-${key}` }, make("legend", { textContent: text }), scale, ends);
  }

  function show() {
    const trial = study.trials[state.at];
    films.forEach(({ video }) => video.removeAttribute("src"));
    $("trial").hidden = !trial;
    $("end").hidden = Boolean(trial);
    notice("");
    progress();
    if (!trial) {
      const open = study.trials.length - done();
      $("missing").textContent = open ? `${open} of ${study.trials.length} are not answered in full.` : "All is answered.";
      films = [];
      $("end").focus();
      return;
    }
    const titles = paired ? ["Left", "Right"] : ["Film"];
    films = trial.films.map((file, i) => film(file, titles[i]));
    $("films").replaceChildren(...films.map(({ figure }) => figure));
    $("films").classList.toggle("single", films.length === 1);
    $("questions").replaceChildren(...study.questions.map((each) => question(each, trial)));
    $("back").disabled = state.at === 0;
    eyes();
    play(true);
    window.scrollTo(0, 0);
  }

  function play(on) {
    $("play").textContent = on ? "Pause" : "Play";
    films.forEach(({ video }) => (on ? video.play().catch(() => {}) : video.pause()));
  }

  function again() {
    films.forEach(({ video }) => { video.currentTime = 0; });
    play(true);
  }

  function eyes() {
    const way = $("eyes").value;
    films.forEach(({ frame }) => {
      frame.classList.toggle("half", way !== "whole");
      frame.classList.toggle("second", way === "right");
    });
  }

  function go(by) {
    const trial = study.trials[state.at];
    if (by > 0 && trial && !answered(trial) && !state.asked?.includes(trial.number)) {
      state.asked = [...(state.asked ?? []), trial.number];
      const open = study.questions.filter(({ key }) => state.answers[trial.number]?.[key] === undefined);
      open.forEach(({ key }) => $(`question-${key}`).classList.add("open"));
      notice("Not all is answered. Next once more leaves it open.");
      $(`question-${open[0].key}`).querySelector("input").focus();
      return;
    }
    state.at = Math.max(0, Math.min(state.at + by, study.trials.length));
    keep();
    show();
  }

  /** Everything answered so far, one line each. */
  function table() {
    const rater = state.name ? `${state.name} ${state.rater}` : state.rater;
    const lines = ["study,rater,trial,left,right,question,value"];
    for (const trial of study.trials) {
      for (const { key } of study.questions) {
        const value = state.answers[trial.number]?.[key];
        const [left, right = ""] = trial.films.map((file) => file.replace(/\.\w+$/, ""));
        if (value !== undefined) lines.push([study.id, rater, trial.number, left, right, key, value].join(","));
      }
    }
    return lines.join("\n") + "\n";
  }

  function save() {
    const url = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    const link = make("a", { href: url, download: `answers-${study.id}-${state.rater}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
    $("told").textContent = `Saved what was answered of ${done()} of ${study.trials.length} in full.`;
  }

  setInterval(() => {
    if (films.length > 1 && !films[0].video.paused) {
      const [first, second] = films.map(({ video }) => video);
      const gap = Math.abs(first.currentTime - second.currentTime);
      if (gap > APART && gap < (first.duration || 1) / 2 && !second.seeking) second.currentTime = first.currentTime;
    }
    if ($("eyes").value === "turn") films.forEach(({ frame }) => frame.classList.toggle("second"));
  }, TURN);

  const buttons = {
    play: () => play(films[0]?.video.paused ?? false), again, save,
    back: () => go(-1), next: () => go(1), return: () => go(-1),
    large: () => {
      const on = $("films").classList.toggle("large");
      $("large").setAttribute("aria-pressed", String(on));
    },
  };
  for (const [id, act] of Object.entries(buttons)) $(id).addEventListener("click", act);
  $("eyes").addEventListener("change", eyes);
  $("questions").addEventListener("submit", (event) => event.preventDefault());
  $("rater").value = state.name;
  $("rater").addEventListener("change", () => {
    state.name = clean($("rater").value);
    $("rater").value = state.name;
    keep();
  });
  const keys = { p: "play", r: "again", n: "next", b: "back", l: "large" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("#rater, select")) return;
    const id = keys[event.key.toLowerCase()];
    if (id && !$("trial").hidden) $(id).click();
  });
  show();
  root.dataset.state = "ready";
})();
