/* The model of the page: the GLB as three.js reads it, its joints at rest, and for each vertex its joints and weights. */
const Model = (() => {
  const { GLTFLoader, Matrix4, Vector3, Box3 } = THREE;

  function bytesOf(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const raw = atob(text), bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return bytes;
  }

  /** Names of which none occurs twice, as Diorama's own reader gives them. */
  function unique(names) {
    const taken = new Set(names), used = new Map();
    return names.map((name) => {
      const count = (used.get(name) ?? 0) + 1;
      used.set(name, count);
      if (count === 1) return name;
      let number = count, other = `${name}_${number}`;
      while (taken.has(other)) other = `${name}_${++number}`;
      used.set(name, number);
      taken.add(other);
      return other;
    });
  }

  /** The joints of all skins: {name, parent: a number or -1, bone, at, inverse of where it is at rest}. */
  function jointsOf(skinned) {
    const bones = [...new Set(skinned.flatMap((mesh) => mesh.skeleton.bones))], place = new Map();
    bones.forEach((bone, number) => place.set(bone, number));
    const parents = bones.map((bone) => {
      let above = bone.parent;
      while (above && !place.has(above)) above = above.parent;
      return above ? place.get(above) : -1;
    });
    let names = bones.map((bone, number) => String(bone.userData.name || bone.name || `joint${number}`));
    const several = parents.filter((parent) => parent < 0).length > 1;
    if (several) names = [...names, "root"];
    const found = bones.map((bone, number) => ({
      parent: several && parents[number] < 0 ? bones.length : parents[number],
      bone, at: new Vector3().setFromMatrixPosition(bone.matrixWorld).toArray(), inverse: bone.matrixWorld.clone().invert(),
    }));
    if (several) found.push({ parent: -1, bone: null, at: [0, 0, 0], inverse: new Matrix4() });
    unique(names).forEach((name, number) => { found[number].name = name; });
    return found;
  }

  /** Of a mesh: positions at rest, and the numbers and weights of four joints a vertex. */
  function surfaceOf(mesh, joints) {
    const count = mesh.geometry.attributes.position.count, rest = new Float32Array(3 * count), at = new Vector3();
    for (let i = 0; i < count; i++) mesh.getVertexPosition(i, at).applyMatrix4(mesh.matrixWorld).toArray(rest, 3 * i);
    if (!mesh.isSkinnedMesh) return { mesh, rest, slots: null, shares: null };
    const { skinIndex, skinWeight } = mesh.geometry.attributes;
    const place = new Map(joints.map((joint, number) => [joint.bone, number]));
    const numbers = mesh.skeleton.bones.map((bone) => place.get(bone));
    const slots = new Uint16Array(4 * count), shares = new Float32Array(4 * count);
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < 4; k++) {
        slots[4 * i + k] = numbers[skinIndex.getComponent(i, k)] ?? 0;
        shares[4 * i + k] = skinWeight.getComponent(i, k);
      }
    }
    return { mesh, rest, slots, shares };
  }

  /** The model in a text of base64. */
  async function read(text) {
    const bytes = bytesOf(text.trim());
    const { scene, animations } = await new GLTFLoader().parseAsync(bytes.buffer, "");
    scene.updateMatrixWorld(true);
    const meshes = [];
    scene.traverse((node) => { if (node.isMesh) meshes.push(node); });
    if (!meshes.length) throw new Error("the file has no mesh");
    const joints = jointsOf(meshes.filter((mesh) => mesh.isSkinnedMesh));
    const surfaces = meshes.map((mesh) => surfaceOf(mesh, joints)), box = new Box3();
    for (const surface of surfaces) {
      const own = new Box3().setFromArray(surface.rest);
      if (!own.isEmpty()) box.union(own);
      surface.mesh.frustumCulled = false;
    }
    const vertices = surfaces.reduce((sum, { rest }) => sum + rest.length / 3, 0);
    const faces = meshes.reduce((sum, { geometry }) => sum + (geometry.index ?? geometry.attributes.position).count / 3, 0);
    const size = box.getSize(new Vector3()).length();
    const near = { low: box.min.clone().subScalar(size).toArray(), high: box.max.clone().addScalar(size).toArray() };
    return { scene, animations, joints, surfaces, box, near, vertices, faces };
  }

  /** The middle of each joint's surface: of the vertices, by weight. */
  function middlesOf({ joints, surfaces }) {
    const sums = joints.map(() => [0, 0, 0, 0]);
    for (const { rest, slots, shares } of surfaces) {
      for (let k = 0; slots && k < slots.length; k++) {
        const sum = sums[slots[k]], vertex = Math.floor(k / 4);
        for (let axis = 0; axis < 3; axis++) sum[axis] += shares[k] * rest[3 * vertex + axis];
        sum[3] += shares[k];
      }
    }
    return sums.map((sum, number) => (sum[3] > 0 ? sum.slice(0, 3).map((value) => value / sum[3]) : joints[number].at));
  }

  /** The rig of the file, as edits change it. */
  function rigOf(model) {
    const { joints } = model, middles = middlesOf(model);
    return new Map(joints.map(({ name, parent, at }, number) => [name, {
      name, parent: parent < 0 ? null : joints[parent].name, at, middle: middles[number], carrier: number, color: number,
      sources: [{ joint: number, cuts: [] }],
    }]));
  }

  /** Where a point at rest, moved by a joint of the file, is now. */
  function placed({ joints }, carrier, at, target = new Vector3()) {
    const { bone, inverse } = joints[carrier];
    target.fromArray(at);
    return bone ? target.applyMatrix4(inverse).applyMatrix4(bone.matrixWorld) : target;
  }

  /** The vertices at rest that a joint of the rig moves more than all others together. */
  function partOf({ surfaces }, joint) {
    const points = [], owners = Paint.ownersOf([joint]);
    for (const surface of surfaces) {
      for (let i = 0; surface.slots && i < surface.rest.length / 3; i++) {
        if (Paint.shareAt(owners, surface, i) > 0.5) points.push(new Vector3().fromArray(surface.rest, 3 * i));
      }
    }
    return points;
  }

  /** Whether a plane has vertices of a joint's part on both sides. */
  function isCut(model, joint, cut) {
    const sides = partOf(model, joint).map((point) => Edits.beyond(point.toArray(), cut));
    return sides.includes(true) && sides.includes(false);
  }

  /** The middle axis of a joint's part: the ends {from, to} that the part reaches along it, and its direction. */
  function axisOf(model, joint) {
    const start = new Vector3().fromArray(joint.at), points = partOf(model, joint).map((point) => point.sub(start));
    const tip = points.reduce((best, point) => (point.lengthSq() > best.lengthSq() ? point : best), new Vector3());
    const normal = points.reduce((sum, point) => sum.add(point), new Vector3()).divideScalar(Math.max(points.length, 1));
    if (normal.length() < 0.2 * tip.length()) normal.copy(tip);  // a joint amid its part
    if (!(normal.length() > 0)) normal.set(0, 1, 0);
    normal.normalize();
    const ends = points.length ? [Infinity, -Infinity] : [0, 1];
    for (const point of points) {
      const along = point.dot(normal);
      ends[0] = Math.min(ends[0], along);
      ends[1] = Math.max(ends[1], along);
    }
    return { normal: normal.toArray(), from: start.clone().addScaledVector(normal, ends[0]).toArray(),
      to: start.clone().addScaledVector(normal, ends[1]).toArray() };
  }

  return { axisOf, isCut, placed, read, rigOf, unique };
})();
