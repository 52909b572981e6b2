/* The panel beside the view: the tree of joints, the form of the chosen joint, the list of edits. */
const Panels = (() => {
  const $ = (id) => document.getElementById(id);

  function made(tag, text, attributes = {}) {
    const found = document.createElement(tag);
    found.textContent = text;
    for (const [name, value] of Object.entries(attributes)) found.setAttribute(name, value);
    return found;
  }

  /** Fill the tree; choosing is up to `select(name)`. */
  function tree(rig, select) {
    const items = Edits.ordered(rig).map(({ joint, depth }) => {
      const item = made("li", "", { role: "treeitem", "aria-level": depth + 1, "aria-selected": "false", tabindex: "-1", title: joint.name });
      const dot = made("i", "", { "aria-hidden": "true" });
      dot.style.background = Paint.colorOf(joint.color).getStyle();
      item.style.setProperty("--depth", Math.min(depth, 10));
      item.dataset.joint = joint.name;
      item.append(dot, made("span", joint.name));
      item.addEventListener("click", () => select(joint.name));
      return item;
    });
    const had = $("tree").contains(document.activeElement);
    $("tree").replaceChildren(...items);
    return had;
  }

  /** Mark the chosen joint in the tree; with `focus` it takes the keyboard too. */
  function mark(name, focus) {
    const items = [...$("tree").children];
    for (const item of items) {
      const chosen = item.dataset.joint === name;
      item.setAttribute("aria-selected", String(chosen));
      item.tabIndex = chosen ? 0 : -1;
      if (!chosen) continue;
      item.scrollIntoView({ block: "nearest" });
      if (focus) item.focus({ preventScroll: true });
    }
    if (name === null && items.length) items[0].tabIndex = 0;
  }

  /** Arrow keys, Home, End, Enter in the tree. */
  function keys(select) {
    $("tree").addEventListener("keydown", (event) => {
      const items = [...$("tree").children], here = items.indexOf(document.activeElement);
      if (here < 0) return;
      const level = (item) => Number(item.getAttribute("aria-level"));
      const deeper = items[here + 1] && level(items[here + 1]) > level(items[here]) ? here + 1 : here;
      const above = items.slice(0, here).findLastIndex((item) => level(item) < level(items[here]));
      const next = {
        ArrowDown: here + 1, ArrowUp: here - 1, ArrowRight: deeper, ArrowLeft: above < 0 ? here : above,
        Home: 0, End: items.length - 1, Enter: here, " ": here,
      }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      const item = items[Math.min(Math.max(next, 0), items.length - 1)];
      select(item.dataset.joint);
      item.focus();
    });
  }

  function choices(select, names, chosen) {
    select.replaceChildren(...names.map((name) => made("option", name, { value: name })));
    if (chosen !== null && names.includes(chosen)) select.value = chosen;
    for (const part of select.form.elements) part.disabled = !names.length;
  }

  function free(rig, name) {
    let number = 2;
    while (rig.has(`${name}_${number}`)) number++;
    return `${name}_${number}`;
  }

  /** Write what is known of a joint into its form. */
  function joint(rig, name) {
    $("joint").hidden = name === null;
    if (name === null) return;
    const found = rig.get(name), all = [...rig.values()];
    $("joint-title").textContent = name;
    $("name").value = name;
    place(found.at);
    choices($("under"), all.filter((other) => !Edits.isUnder(rig, other.name, name)).map((other) => other.name), found.parent);
    const children = all.filter((other) => other.parent === name).map((other) => other.name);
    choices($("into"), found.parent === null ? children : [found.parent, ...children], found.parent);
    [$("near").value, $("far").value] = [name, free(rig, name)];
    $("root").disabled = found.parent === null;
  }

  /** Write a place into the form. */
  function place(at) {
    ["x", "y", "z"].forEach((axis, number) => { $(axis).value = Number(at[number].toFixed(4)); });
  }

  /** Fill the list of edits; `undone` of them could be done again. */
  function edits(list, undone) {
    $("edits").replaceChildren(...list.map((edit) => made("li", Edits.describe(edit))));
    $("edits").scrollTop = $("edits").scrollHeight;
    $("undo").disabled = $("save").disabled = !list.length;
    $("redo").disabled = !undone;
  }

  /** Tell something in one line. */
  function say(text, bad = false) {
    $("message").textContent = text;
    $("message").classList.toggle("bad", bad);
  }

  return { $, edits, joint, keys, made, mark, place, say, tree };
})();
