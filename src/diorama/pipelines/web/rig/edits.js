/* Edits of a rig as plain values, and a sketch of what diorama.rigging.edit does with them. A rig is a Map from a
   joint's name to {name, parent: a name or null, at: [x, y, z] in metres at rest, middle, carrier, color, sources}:
   `middle` is that of its surface; `carrier` is the number of the joint of the file that moves it; `sources` are
   {joint, cuts}: the joints of the file whose surface it has, on one side of each cut {at, normal, beyond}. Positions
   must lie in a box {low, high}. Nothing is changed in place. */
const Edits = (() => {
  const MOST = 1000, LONGEST = 100, BYTES = 1e6, KEYS = {
    rename: ["to"], merge: ["into"], split: ["at", "names", "normal?"], move: ["to"], reparent: ["under"], root: [],
  };
  const fail = (text) => { throw new Error(text); };
  const quoted = (value) => `“${String(value).slice(0, LONGEST)}”`;

  function known(rig, name) {
    if (typeof name !== "string") fail("a joint is called by its name, as text");
    return rig.get(name) ?? fail(`there is no joint called ${quoted(name)}`);
  }

  function fresh(rig, name, ...freed) {
    if (typeof name !== "string" || !name.trim() || name !== name.trim()) fail("a name is text without spaces around it");
    if ([...name].length > LONGEST) fail(`a name has at most ${LONGEST} characters`);
    if (/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(name)) fail("a name has no control characters");
    if (rig.has(name) && !freed.includes(name)) fail(`there is a joint called ${quoted(name)} already`);
    return name;
  }

  function numbers(value) {
    const sound = Array.isArray(value) && value.length === 3 && value.every(Number.isFinite);
    return sound ? [...value] : fail("a place is three numbers in metres");
  }

  function point(value, box) {
    const at = numbers(value);
    if (at.some((number, axis) => number < box.low[axis] || number > box.high[axis])) fail("a place is far from the model");
    return at;
  }

  function isUnder(rig, name, above) {
    for (let at = name; at !== null; at = rig.get(at).parent) if (at === above) return true;
    return false;
  }

  const mapped = (rig, change) => {
    const joints = [...rig.values()].flatMap(change);
    return new Map(joints.map((joint) => [joint.name, joint]));
  };

  const beyond = (at, cut) => at.reduce((sum, value, axis) => sum + (value - cut.at[axis]) * cut.normal[axis], 0) > 0;

  const actions = {
    rename(rig, edit) {
      known(rig, edit.rename);
      const to = fresh(rig, edit.to);
      return mapped(rig, (joint) => ({
        ...joint,
        name: joint.name === edit.rename ? to : joint.name,
        parent: joint.parent === edit.rename ? to : joint.parent,
      }));
    },

    merge(rig, edit) {
      const names = Array.isArray(edit.merge) ? edit.merge : fail("a merge lists the joints that become one");
      const parts = names.map((name) => known(rig, name)), set = new Set(names);
      if (set.size < 2 || set.size !== names.length) fail("a merge takes two or more joints, each once");
      const into = fresh(rig, edit.into, ...names), look = rig.get(into) ?? parts[0];
      const top = ordered(rig).toSorted((one, other) => one.depth - other.depth).find(({ joint }) => set.has(joint.name)).joint;
      const merged = { ...top, name: into, color: look.color, sources: parts.flatMap((part) => part.sources) };
      return mapped(rig, (joint) => {
        if (joint === top) return [merged];
        if (set.has(joint.name)) return [];
        return [set.has(joint.parent) ? { ...joint, parent: into } : joint];
      });
    },

    split(rig, edit, box) {
      const part = known(rig, edit.split);
      if (!Array.isArray(edit.names) || edit.names.length !== 2) fail("a split gives two names");
      const [near, far] = edit.names.map((name) => fresh(rig, name, edit.split));
      if (near === far) fail("the halves of a split have different names");
      const at = point(edit.at, box), away = at.map((value, axis) => value - part.at[axis]);
      const normal = edit.normal === undefined ? away : numbers(edit.normal);
      const length = Math.hypot(...normal);
      if (!(length > 1e-9)) fail("the plane of a split needs a direction");
      const home = away.reduce((sum, value, axis) => sum - value * normal[axis], 0) > 0 ? -1 : 1;  // the near half has the joint
      const cut = { at, normal: normal.map((value) => (home * value) / length) };
      const half = (side) => part.sources.map((source) => ({ ...source, cuts: [...source.cuts, { ...cut, beyond: side }] }));
      const color = 1 + Math.max(...[...rig.values()].map((joint) => joint.color));
      return mapped(rig, (joint) => {
        if (joint === part) {
          return [{ ...part, name: near, sources: half(false) },
            { ...part, name: far, parent: near, at, color, sources: half(true) }];
        }
        if (joint.parent !== part.name) return [joint];
        return [{ ...joint, parent: beyond(joint.at, cut) ? far : near }];
      });
    },

    move(rig, edit, box) {
      known(rig, edit.move);
      const at = point(edit.to, box);
      return mapped(rig, (joint) => (joint.name === edit.move ? { ...joint, at } : joint));
    },

    reparent(rig, edit) {
      const joint = known(rig, edit.reparent), under = known(rig, edit.under);
      if (isUnder(rig, under.name, joint.name)) fail(`${quoted(under.name)} hangs below ${quoted(joint.name)} itself`);
      return mapped(rig, (other) => (other === joint ? { ...joint, parent: under.name } : other));
    },

    root(rig, edit) {
      const turned = new Map();
      let below = known(rig, edit.root);
      if (below.parent === null) return rig;
      turned.set(below, { ...below, parent: null, at: below.middle });
      for (; below.parent !== null; below = rig.get(below.parent)) {
        const joint = rig.get(below.parent);
        turned.set(joint, { ...joint, parent: below.name, at: below.at });
      }
      return mapped(rig, (joint) => turned.get(joint) ?? joint);
    },
  };

  function kindOf(edit) {
    if (typeof edit !== "object" || edit === null || Array.isArray(edit)) fail("an edit is an object");
    const kinds = Object.keys(KEYS).filter((kind) => Object.hasOwn(edit, kind));
    if (kinds.length !== 1) fail(`an edit has one of ${Object.keys(KEYS).join(", ")}`);
    const wanted = [kinds[0], ...KEYS[kinds[0]]], allowed = wanted.map((key) => key.replace("?", ""));
    for (const key of Object.keys(edit)) if (!allowed.includes(key)) fail(`${quoted(key)} is not known in a ${kinds[0]}`);
    for (const key of wanted) if (!key.endsWith("?") && !Object.hasOwn(edit, key)) fail(`${quoted(key)} is missing in a ${kinds[0]}`);
    return kinds[0];
  }

  /** The rig after one edit; throws an Error that says what is wrong. */
  const apply = (rig, edit, box) => actions[kindOf(edit)](rig, edit, box);

  /** The rig after edits in order; an Error names the first that cannot be done. */
  function applyAll(rig, edits, box) {
    return edits.reduce((found, edit, number) => {
      try { return apply(found, edit, box); } catch (error) { return fail(`edit ${number + 1}: ${error.message}`); }
    }, rig);
  }

  /** The edits of a file's text. */
  function read(text) {
    let found;
    if (text.length > BYTES) fail("a file of edits has at most 1 MB");
    try { found = JSON.parse(text); } catch { fail("the file is not JSON"); }
    if (typeof found !== "object" || found === null || found.version !== 1) fail("the file is no edits.json of version 1");
    if (!Array.isArray(found.edits) || Object.keys(found).length > 2) fail("the file has no list of edits, or more than that");
    if (found.edits.length > MOST) fail(`the file has more than ${MOST} edits`);
    return found.edits;
  }

  const write = (edits) => `${JSON.stringify({ version: 1, edits }, null, 2)}\n`;

  const told = (at) => at.map((value) => Number(value.toFixed(4))).join(", ");

  /** One line that tells an edit. */
  function describe(edit) {
    switch (kindOf(edit)) {
      case "rename": return `rename ${edit.rename} to ${edit.to}`;
      case "merge": return `merge ${edit.merge.filter((name) => name !== edit.into).join(", ")} into ${edit.into}`;
      case "split": return `split ${edit.split} into ${edit.names.join(" and ")}`;
      case "move": return `move ${edit.move} to ${told(edit.to)}`;
      case "reparent": return `hang ${edit.reparent} under ${edit.under}`;
      default: return `make ${edit.root} the root`;
    }
  }

  /** The joints in the order of a tree, each with its depth. */
  function ordered(rig) {
    const children = new Map([...rig.keys(), null].map((name) => [name, []])), found = [];
    for (const joint of rig.values()) children.get(joint.parent).push(joint);
    const open = children.get(null).map((joint) => ({ joint, depth: 0 })).reverse();
    while (open.length) {
      const next = open.pop();
      found.push(next);
      for (const joint of children.get(next.joint.name).toReversed()) open.push({ joint, depth: next.depth + 1 });
    }
    return found;
  }

  return { MOST, apply, applyAll, beyond, describe, isUnder, ordered, read, write };
})();
