/* What travels in the page, as arrays: see scene_page_data.py for the layout. */
const Data = (() => {
  const TEXEL = 16;

  async function read(text) {
    const bytes = await (await fetch(`data:application/octet-stream;base64,${text.trim()}`)).arrayBuffer();
    const length = new DataView(bytes).getUint32(0, true);
    const note = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
    let place = 4 + length;
    const take = (Kind, count) => {
      const found = new Kind(bytes, place, count);
      place += found.byteLength;
      return found;
    };
    const table = take(Uint32Array, note.count * note.texels * TEXEL / 4), keys = note.nodes ? note.times.length : 0;
    const [nodes, shifts, turns] = [3 * note.nodes, 3 * note.nodes * keys, 4 * note.nodes * keys].map((count) => take(Float32Array, count));
    const frames = note.starts.length - 1, first = note.times[0], last = note.times.at(-1);
    const hold = frames > 1 ? (last - first) / (frames - 1) : 0; // the last picture of a sequence is seen as long as others
    return { ...note, table, nodes: { count: note.nodes, places: nodes, shifts, turns }, frames, first, span: last - first + hold };
  }

  return { read };
})();
