/* The skeleton as it is drawn: a ball for each joint, a long octahedron from each joint to each child. */
const Bones = (() => {
  const { BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, Group, HemisphereLight, InstancedMesh, Matrix4,
    Mesh, MeshBasicMaterial, MeshLambertMaterial, Quaternion, RingGeometry, CircleGeometry, Scene, SphereGeometry,
    Vector3 } = THREE;
  const UP = new Vector3(0, 1, 0), PALE = new Color("#dfe6f2"), CHOSEN = new Color("#ffae3d");

  function octahedron() {
    const ring = [[1, 0], [0, 1], [-1, 0], [0, -1]].map(([x, z]) => [x, 0.14, z]), corners = [];
    ring.forEach((corner, number) => {
      const next = ring[(number + 1) % 4];
      corners.push([0, 0, 0], corner, next, [0, 1, 0], next, corner);
    });
    const found = new BufferGeometry();
    found.setAttribute("position", new BufferAttribute(new Float32Array(corners.flat()), 3));
    found.computeVertexNormals();
    return found;
  }

  /** A scene of its own, drawn over the figure. `size` is the length of the figure's box, metres. */
  function create(model, size) {
    const scene = new Scene(), skeleton = new Group(), plane = new Group();
    const sun = new DirectionalLight(0xffffff, 1.6);
    sun.position.set(0.4, 1, 0.8);
    scene.add(new HemisphereLight(0xffffff, 0x8b93a5, 2.3), sun, skeleton, plane);
    const shapes = { bone: octahedron(), ball: new SphereGeometry(1, 14, 10) };
    const skin = new MeshLambertMaterial({ side: DoubleSide });
    let balls = null, sticks = null, joints = [], links = [], chosen = null;

    const glass = (opacity) => new MeshBasicMaterial({ color: CHOSEN, transparent: true, opacity, side: DoubleSide, depthTest: false });
    plane.add(new Mesh(new CircleGeometry(1, 48), glass(0.22)), new Mesh(new RingGeometry(0.97, 1, 48), glass(0.9)));
    plane.visible = false;

    function instances(shape, count) {
      const found = new InstancedMesh(shape, skin, Math.max(count, 1));
      found.count = count;
      found.frustumCulled = false;
      skeleton.add(found);
      return found;
    }

    /** Show a rig; `selected` is the name of a joint or null. */
    function show(rig, selected) {
      for (const old of [balls, sticks]) old?.removeFromParent();
      for (const old of [balls, sticks]) old?.dispose();
      joints = [...rig.values()];
      links = joints.filter((joint) => joint.parent !== null).map((joint) => ({ from: rig.get(joint.parent), to: joint }));
      chosen = selected;
      balls = instances(shapes.ball, joints.length);
      sticks = instances(shapes.bone, links.length);
      joints.forEach((joint, number) => balls.setColorAt(number, joint.name === selected ? CHOSEN : Paint.colorOf(joint.color)));
      links.forEach(({ from }, number) => sticks.setColorAt(number, from.name === selected ? CHOSEN : PALE));
      update();
    }

    /** Put everything where the pose of now has it. */
    function update() {
      const from = new Vector3(), to = new Vector3(), along = new Vector3(), turn = new Quaternion(), place = new Matrix4();
      joints.forEach((joint, number) => {
        Model.placed(model, joint.carrier, joint.at, from);
        const radius = size * (joint.name === chosen ? 0.0095 : 0.0065);
        balls.setMatrixAt(number, place.makeScale(radius, radius, radius).setPosition(from));
      });
      links.forEach((link, number) => {
        Model.placed(model, link.from.carrier, link.from.at, from);
        Model.placed(model, link.to.carrier, link.to.at, to);
        const length = along.subVectors(to, from).length(), width = Math.min(0.1 * length, 0.011 * size);
        turn.setFromUnitVectors(UP, length > 0 ? along.divideScalar(length) : UP);
        sticks.setMatrixAt(number, place.compose(from, turn, new Vector3(width, length, width)));
      });
      balls.instanceMatrix.needsUpdate = sticks.instanceMatrix.needsUpdate = true;
    }

    /** Show where a split would cut; nothing for null. */
    function cut(found) {
      plane.visible = found !== null;
      if (found === null) return;
      const { carrier, at, normal, radius } = found, tip = at.map((value, axis) => value + normal[axis]);
      Model.placed(model, carrier, at, plane.position);
      plane.lookAt(Model.placed(model, carrier, tip));
      plane.scale.setScalar(radius);
    }

    /** The joint whose ball is nearest to a point of the screen, within `reach`; both in the units of `project`. */
    function near(project, reach) {
      let best = null, nearest = reach;
      for (const joint of joints) {
        const distance = project(Model.placed(model, joint.carrier, joint.at));
        if (distance < nearest) [best, nearest] = [joint.name, distance];
      }
      return best;
    }

    return { cut, near, scene, show, skeleton, update };
  }

  return { create };
})();
