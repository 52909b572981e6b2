/* Where the nodes are at a time: the twin of diorama.core.gaussians, which says what is meant. */
const Motion = (() => {
  /** Keys around a time and their shares (Catmull and Rom 1974), straight on next to the ends. */
  function cubic(times, time) {
    const last = times.length - 1;
    if (last === 0 || time <= times[0]) return [[0], [1]];
    if (time >= times[last]) return [[last], [1]];
    let left = 0;
    while (times[left + 1] <= time) left++;
    const u = (time - times[left]) / (times[left + 1] - times[left]), shares = new Float64Array(last + 3);
    shares.set([((-u + 2) * u - 1) * u / 2, ((3 * u - 5) * u * u + 2) / 2, ((-3 * u + 4) * u + 1) * u / 2, (u - 1) * u * u / 2], left);
    for (const [beyond, end, inner] of [[0, 1, 2], [last + 2, last + 1, last]]) {
      shares[end] += 2 * shares[beyond];
      shares[inner] -= shares[beyond];
    }
    const keys = [...shares.keys()].slice(0, last + 1).filter((key) => shares[key + 1] !== 0);
    return [keys, keys.map((key) => shares[key + 1])];
  }

  /** Rotation of a quaternion (w, x, y, z), row by row. */
  function matrix([w, x, y, z]) {
    return [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z), 1 - 2 * (x * x + z * z),
      2 * (y * z - w * x), 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)];
  }

  /** For each node eight numbers: its turn, then the shift that leads a point at rest, once turned, to where it is now. */
  function nodesAt({ nodes, times }, time, into) {
    const [keys, shares] = cubic(times, time), { count, places, shifts, turns } = nodes, turn = [0, 0, 0, 0];
    for (let node = 0; node < count; node++) {
      const mixed = (from, width, i) => keys.reduce((sum, key, k) => sum + shares[k] * from[(key * count + node) * width + i], 0);
      for (let i = 0; i < 4; i++) turn[i] = mixed(turns, 4, i);
      const length = Math.hypot(...turn);
      for (let i = 0; i < 4; i++) into[8 * node + i] = turn[i] /= length;
      const R = matrix(turn), at = 3 * node;
      for (let i = 0; i < 3; i++) {
        const turned = R[3 * i] * places[at] + R[3 * i + 1] * places[at + 1] + R[3 * i + 2] * places[at + 2];
        into[8 * node + 4 + i] = places[at + i] + mixed(shifts, 3, i) - turned;
      }
    }
    return into;
  }

  return { cubic, matrix, nodesAt };
})();
