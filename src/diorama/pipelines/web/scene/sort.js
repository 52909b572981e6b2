/* The order in which Gaussians are drawn, farthest first; counted, not compared, and in a thread of its own if that can be had. */

/** What sorts; it knows nothing outside itself, so that a worker can be made of its text. */
function sorter() {
  const BUCKETS = 1 << 16, FAINT = 1 / 255, LINKS = 4;
  let means, opacities, links, weights, presence, moving, depths, bits, ends;

  function half(value) {
    const power = (value >> 10) & 31, share = value & 1023, size = power ? 2 ** (power - 15) * (1 + share / 1024) : 2 ** -24 * share;
    return value & 0x8000 ? -size : size;
  }

  function take(table, texels) {
    const count = table.length / (4 * texels), floats = new Float32Array(table.buffer, table.byteOffset, table.length);
    moving = texels === 3;
    [means, opacities] = [new Float32Array(3 * count), new Float32Array(count)];
    [links, weights, presence] = moving ? [new Uint16Array(LINKS * count), new Float32Array(LINKS * count), new Float32Array(2 * count)] : [];
    depths = new Float32Array(count);
    bits = new Uint32Array(depths.buffer);
    ends = new Uint32Array(BUCKETS + 1);
    for (let i = 0; i < count; i++) {
      const row = 4 * texels * i;
      for (let c = 0; c < 3; c++) means[3 * i + c] = floats[row + c];
      opacities[i] = (table[row + 3] >>> 24) / 255;
      if (!moving) continue;
      const packed = table[row + 10], shares = [0, 8, 16, 24].map((shift) => (packed >>> shift) & 255);
      const sum = shares[0] + shares[1] + shares[2] + shares[3];
      for (let k = 0; k < LINKS; k++) {
        links[LINKS * i + k] = (table[row + 8 + (k >> 1)] >>> (16 * (k & 1))) & 0xffff;
        weights[LINKS * i + k] = shares[k] / sum;
      }
      presence[2 * i] = half(table[row + 11] & 0xffff);
      presence[2 * i + 1] = half(table[row + 11] >>> 16);
    }
  }

  /** The depth of a point at rest that follows a node is a plane's: three factors and a constant for each node. */
  function planesOf(nodes, [x, y, z, shift]) {
    const planes = new Float32Array(nodes.length / 2);
    for (let n = 0; n < planes.length / 4; n++) {
      const w = nodes[8 * n], i = nodes[8 * n + 1], j = nodes[8 * n + 2], k = nodes[8 * n + 3];
      planes[4 * n] = x * (1 - 2 * (j * j + k * k)) + y * 2 * (i * j + w * k) + z * 2 * (i * k - w * j);
      planes[4 * n + 1] = x * 2 * (i * j - w * k) + y * (1 - 2 * (i * i + k * k)) + z * 2 * (j * k + w * i);
      planes[4 * n + 2] = x * 2 * (i * k + w * j) + y * 2 * (j * k - w * i) + z * (1 - 2 * (i * i + j * j));
      planes[4 * n + 3] = x * nodes[8 * n + 4] + y * nodes[8 * n + 5] + z * nodes[8 * n + 6] + shift;
    }
    return planes;
  }

  /** Rows from `first` to `last` that can be seen at a share of the time, farthest first. */
  function order({ forward, nodes, first, last, near, share }) {
    const [x, y, z, shift] = forward, planes = moving ? planesOf(nodes, forward) : null;
    let least = 0xffffffff, most = 0, count = 0;
    for (let i = first; i < last; i++) {
      const a = means[3 * i], b = means[3 * i + 1], c = means[3 * i + 2];
      let depth = 0, opacity = opacities[i];
      if (moving) {
        for (let k = LINKS * i; k < LINKS * (i + 1); k++) {
          const p = 4 * links[k];
          if (weights[k]) depth += weights[k] * (planes[p] * a + planes[p + 1] * b + planes[p + 2] * c + planes[p + 3]);
        }
        const away = (share - presence[2 * i]) / presence[2 * i + 1];
        opacity *= Math.exp(-0.5 * away * away);
      } else depth = x * a + y * b + z * c + shift;
      depths[i] = depth > near && opacity >= FAINT ? depth : 0;
      if (!bits[i]) continue;
      count++;
      if (bits[i] < least) least = bits[i];
      if (bits[i] > most) most = bits[i];
    }
    let fine = 0; // bits of positive numbers rise with them, and faster near by: the steps are fine where it matters
    while ((most - least) >>> fine >= BUCKETS) fine++;
    ends.fill(0);
    for (let i = first; i < last; i++) if (bits[i]) ends[(most - bits[i]) >>> fine]++;
    for (let bucket = 0, sum = 0; bucket < BUCKETS; bucket++) {
      const size = ends[bucket];
      ends[bucket] = sum;
      sum += size;
    }
    const found = new Uint32Array(count);
    for (let i = first; i < last; i++) if (bits[i]) found[ends[(most - bits[i]) >>> fine]++] = i;
    return found;
  }

  return { order, take };
}

const Sort = (() => {
  const WORKER = `"use strict"; const own = (${sorter})(); onmessage = ({ data }) => {
    if (data.table) own.take(data.table, data.texels);
    else { const found = own.order(data); postMessage(found, [found.buffer]); }
  };`;

  /** Sorts a table; `done(rows)` hears of each order. One request is under way at a time, and the latest is kept. */
  function create({ table, texels }, done) {
    let busy = false, asked = null, waiting = null, send = null;
    const here = () => {
      const own = sorter();
      own.take(table, texels);
      return (wish) => setTimeout(() => finished(own.order(wish)));
    };
    function finished(rows) {
      busy = false;
      done(rows);
      if (waiting) ask(waiting);
    }
    try {
      const worker = new Worker(URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" })));
      worker.onmessage = ({ data }) => finished(data);
      worker.onerror = () => { // no threads here: the page sorts itself, and loses some smoothness
        send = here();
        busy = false;
        if (waiting ?? asked) ask(waiting ?? asked);
      };
      worker.postMessage({ table, texels });
      send = (wish) => worker.postMessage(wish);
    } catch {
      send = here();
    }
    function ask(wish) {
      if (busy) {
        waiting = wish;
        return;
      }
      [busy, waiting, asked] = [true, null, wish];
      send(wish);
    }
    return { ask };
  }

  return { create };
})();
