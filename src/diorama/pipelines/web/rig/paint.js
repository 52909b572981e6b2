/* Colours of joints and of weights. */
const Paint = (() => {
  const { BufferAttribute, BufferGeometry, Color, MeshStandardMaterial, DoubleSide } = THREE;
  const HEAT = ["#4a5585", "#554b97", "#8f469a", "#d04f70", "#f5894f", "#fbd65c"].map((name) => new Color(name));
  const GOLDEN = 2.399963;

  /** The colour of a number: hues far apart, of much the same lightness (OKLCH, Ottosson 2020). */
  function colorOf(number) {
    const hue = 0.6 + number * GOLDEN, light = [0.74, 0.64, 0.82][number % 3], chroma = 0.13;
    const a = chroma * Math.cos(hue), b = chroma * Math.sin(hue);
    const l = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (light - 0.0894841775 * a - 1.291485548 * b) ** 3;
    const clipped = [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ].map((value) => Math.min(1, Math.max(0, value)));
    return new Color().setRGB(...clipped);
  }

  /** For each joint of the file: which joints of the rig have its surface, where. */
  function ownersOf(joints) {
    const owners = new Map();
    for (const joint of joints) {
      for (const { joint: source, cuts } of joint.sources) {
        if (!owners.has(source)) owners.set(source, []);
        owners.get(source).push({ joint, cuts });
      }
    }
    return owners;
  }

  /** The joint of the rig that a slot of a vertex belongs to. */
  function ownerAt(owners, { rest, slots }, vertex, slot) {
    const found = owners.get(slots[slot]) ?? [];
    if (found.length < 2 && !found[0]?.cuts.length) return found[0]?.joint;
    const at = [rest[3 * vertex], rest[3 * vertex + 1], rest[3 * vertex + 2]];
    return found.find(({ cuts }) => cuts.every((cut) => Edits.beyond(at, cut) === cut.beyond))?.joint;
  }

  /** The weight of a joint of the rig at a vertex, where `owners` are of that joint alone. */
  function shareAt(owners, surface, vertex) {
    let sum = 0;
    for (let k = 4 * vertex; k < 4 * vertex + 4; k++) {
      if (surface.shares[k] > 0 && ownerAt(owners, surface, vertex, k)) sum += surface.shares[k];
    }
    return sum;
  }

  /** A twin of a geometry with colours of its own. */
  function twin(geometry) {
    const found = new BufferGeometry();
    found.index = geometry.index;
    Object.assign(found.attributes, geometry.attributes);
    Object.assign(found.morphAttributes, geometry.morphAttributes);
    found.morphTargetsRelative = geometry.morphTargetsRelative;
    if (!found.attributes.normal) found.computeVertexNormals();
    found.setAttribute("color", new BufferAttribute(new Float32Array(3 * geometry.attributes.position.count), 3));
    return found;
  }

  const material = () => new MeshStandardMaterial({ vertexColors: true, roughness: 0.8, side: DoubleSide });

  function heat(share, target) {
    const at = Math.min(1, Math.max(0, share)) * (HEAT.length - 1), low = Math.min(Math.floor(at), HEAT.length - 2);
    return target.lerpColors(HEAT[low], HEAT[low + 1], at - low);
  }

  /** Colour a surface: by all joints, mixed by weight, or by the weight of one of them. */
  function fill(surface, attribute, rig, selected) {
    const owners = ownersOf(rig.values()), mixed = new Color(), known = new Map();
    for (const joint of rig.values()) known.set(joint, colorOf(joint.color));
    for (let vertex = 0; vertex < attribute.count; vertex++) {
      let share = 0;
      mixed.setRGB(0, 0, 0);
      for (let k = 4 * vertex; surface.slots && k < 4 * vertex + 4; k++) {
        const weight = surface.shares[k], owner = weight > 0 ? ownerAt(owners, surface, vertex, k) : undefined;
        if (!owner) continue;
        if (owner.name === selected) share += weight;
        const own = known.get(owner);
        mixed.r += weight * own.r;
        mixed.g += weight * own.g;
        mixed.b += weight * own.b;
      }
      if (selected !== null) heat(share, mixed);
      attribute.setXYZ(vertex, mixed.r, mixed.g, mixed.b);
    }
    attribute.needsUpdate = true;
  }

  /** The joint of the rig with most weight at a point of a face. */
  function strongest(surface, rig, { face, barycoord }) {
    const owners = ownersOf(rig.values()), sums = new Map();
    [face.a, face.b, face.c].forEach((vertex, corner) => {
      for (let k = 4 * vertex; surface.slots && k < 4 * vertex + 4; k++) {
        const owner = surface.shares[k] > 0 ? ownerAt(owners, surface, vertex, k) : undefined;
        const near = barycoord ? barycoord.getComponent(corner) : 1;
        if (owner) sums.set(owner, (sums.get(owner) ?? 0) + near * surface.shares[k]);
      }
    });
    let best = null;
    for (const [owner, sum] of sums) if (best === null || sum > sums.get(best)) best = owner;
    return best?.name ?? null;
  }

  return { colorOf, fill, material, ownersOf, shareAt, strongest, twin };
})();
