/* From where the scene is looked at: around a point, led by mouse, fingers and keys. Axes: x right, y down, z forward. */
const Camera = (() => {
  const { cos, sin, PI } = Math, times = (a, b) => a.map((_, n) => [0, 1, 2].reduce((sum, k) => sum + a[3 * Math.floor(n / 3) + k] * b[3 * k + n % 3], 0));

  const HEAVY = 3, SEEN = 0.06; // of the angle that cameras stood apart, and at least, radians

  /** The camera of a scene on a canvas; `heard()` is called when somebody takes it in hand. */
  function create(canvas, { viewmat, depth, sway, fitted }, heard) {
    const base = [0, 1, 2, 4, 5, 6, 8, 9, 10].map((i) => viewmat[i]), shift = [3, 7, 11].map((i) => viewmat[i]);
    const back = (turn, [x, y, z]) => [0, 1, 2].map((i) => turn[i] * x + turn[3 + i] * y + turn[6 + i] * z);
    const start = () => ({ yaw: 0, pitch: 0, away: depth, pivot: back(base, [-shift[0], -shift[1], depth - shift[2]]) });
    const calm = matchMedia("(prefers-reduced-motion: reduce)"), touches = new Map();
    let goal = start(), now = start(), phase = 0, swaying = false;

    function turned({ yaw, pitch }) {
      const around = [cos(yaw), 0, -sin(yaw), 0, 1, 0, sin(yaw), 0, cos(yaw)], up = [1, 0, 0, 0, cos(pitch), -sin(pitch), 0, sin(pitch), cos(pitch)];
      return times(up, times(around, base));
    }

    const orbit = (across, down) => { // right and down as the scene is dragged
      goal.yaw += across;
      goal.pitch = Math.max(-PI / 2 + 0.02, Math.min(PI / 2 - 0.02, goal.pitch + down));
    };
    const move = (local) => { goal.pivot = back(turned(goal), local).map((value, i) => goal.pivot[i] + value); };
    const zoom = (factor) => { goal.away = Math.max(depth / 50, Math.min(depth * 20, goal.away * factor)); };
    const taken = (act) => (...given) => {
      heard();
      act(...given);
    };

    /** Go on by some seconds; whether anything has changed. */
    function tick(seconds) {
      if (swaying) phase += seconds;
      const share = calm.matches ? 1 : 1 - Math.exp(-14 * seconds), before = JSON.stringify(now);
      for (const key of ["yaw", "pitch", "away"]) now[key] = near(now[key] + share * (goal[key] - now[key]), goal[key]);
      now.pivot = now.pivot.map((value, i) => near(value + share * (goal.pivot[i] - value), goal.pivot[i]));
      return swaying || before !== JSON.stringify(now);
    }
    const near = (value, wanted) => (Math.abs(value - wanted) < 1e-5 * depth ? wanted : value);

    /** World to camera: rotation row by row, and shift. */
    function pose() {
      const [least, most, low, high] = sway, swing = (from, to, turn) => (from + to) / 2 + (to - from) / 2 * turn;
      const aside = swaying ? [swing(least, most, sin(phase * 0.9)), swing(low, high, sin(phase * 0.9 + PI / 2))] : [0, 0];
      const turn = turned({ yaw: now.yaw - Math.atan2(aside[0], depth), pitch: now.pitch + Math.atan2(aside[1], depth) });
      const far = [0, 1, 2].map((i) => -(turn[3 * i] * now.pivot[0] + turn[3 * i + 1] * now.pivot[1] + turn[3 * i + 2] * now.pivot[2]));
      return { turn, shift: [far[0], far[1], far[2] + now.away] };
    }

    function reset() {
      goal = start();
      swaying = false;
    }

    function drag(across, down, shifting) {
      const reach = Math.min(canvas.clientWidth, canvas.clientHeight) || 1;
      if (shifting) move([-across / reach * now.away, -down / reach * now.away, 0]);
      else orbit(heavy(across / reach * 2.2, goal.yaw, sway[1] - sway[0]), heavy(down / reach * 2.2, goal.pitch, sway[3] - sway[2]));
    }

    /** Turning by hand gets heavier the farther it leads from where cameras stood; keys go anywhere. */
    function heavy(turn, from, between) {
      const seen = Math.max(HEAVY * Math.atan2(between / 2, depth), SEEN);
      if (!fitted || Math.abs(from) > 30 * seen) return turn; // so far only keys lead
      const pulled = Math.sign(from) * seen * Math.expm1(Math.abs(from) / seen) + turn; // the way back is the way there
      return Math.sign(pulled) * seen * Math.log1p(Math.abs(pulled) / seen) - from;
    }

    canvas.addEventListener("pointerdown", (event) => {
      touches.set(event.pointerId, [event.clientX, event.clientY]);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", follow);
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => touches.delete(event.pointerId));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      heard();
      zoom(Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY * (event.deltaMode ? 0.03 : 0.0012)))));
    }, { passive: false });

    function follow(event) {
      const last = touches.get(event.pointerId);
      if (!last) return;
      const [across, down] = [event.clientX - last[0], event.clientY - last[1]];
      if (!across && !down) return;
      heard();
      if (touches.size === 1) drag(across, down, event.shiftKey || event.buttons & 6);
      else if (touches.size === 2) {
        const [other] = [...touches].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
        const apart = (x, y) => Math.hypot(x - other[0], y - other[1]) || 1;
        zoom(apart(...last) / apart(event.clientX, event.clientY));
        drag(across / 2, down / 2, true);
      }
      touches.set(event.pointerId, [event.clientX, event.clientY]);
    }

    const step = () => 0.04 * now.away;
    const keys = {
      arrowleft: () => orbit(-0.06, 0), arrowright: () => orbit(0.06, 0), arrowup: () => orbit(0, -0.06), arrowdown: () => orbit(0, 0.06),
      w: () => move([0, 0, step()]), s: () => move([0, 0, -step()]), a: () => move([-step(), 0, 0]), d: () => move([step(), 0, 0]),
      q: () => move([0, step(), 0]), e: () => move([0, -step(), 0]), "+": () => zoom(0.9), "=": () => zoom(0.9), "-": () => zoom(1 / 0.9),
    };
    for (const key of Object.keys(keys)) keys[key] = taken(keys[key]);

    return {
      keys, pose, reset, tick, depth: () => now.away,
      swaying: () => swaying,
      sway: (on) => { swaying = on; },
    };
  }

  return { create };
})();
