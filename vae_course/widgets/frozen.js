// An explorer in a page without a kernel. `frozen.py` has drawn it over a grid of its values; here the pictures are
// put together from their squares, and sliders, keys and the pointer choose among them.
import { mountQuiz } from "./frozen_quiz.js";
import { grip } from "./picture.js";

const STYLE = `
.frozen-explorer { margin: 1rem 0; max-width: 100%; overflow-wrap: anywhere; }
.frozen-explorer p { margin: 0.3rem 0; }
.frozen-explorer .frozen-row { display: flex; flex-wrap: wrap; align-items: center; gap: 0.2rem 0.7rem; min-height: 2rem; }
.frozen-explorer .frozen-row > label { min-width: 9rem; }
.frozen-explorer input[type="range"] { width: 18rem; max-width: 100%; margin: 0; accent-color: #0072b2; }
.frozen-explorer input[type="checkbox"] { width: 1.1rem; height: 1.1rem; }
.frozen-explorer select, .frozen-explorer button { font: inherit; color: inherit; background: transparent; border: 1px solid currentcolor; border-radius: 4px; padding: 0.1rem 0.5rem; max-width: 100%; }
.frozen-explorer option { color: #222; background: #fff; }
.frozen-explorer :is(input, select, button):focus-visible { outline: 3px solid #e69f00; outline-offset: 2px; }
.frozen-explorer canvas { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; margin: 0.5rem 0; user-select: none; }
[data-theme="dark"] .frozen-explorer canvas { filter: brightness(0.88); }
.frozen-explorer .frozen-stage { display: flex; flex-wrap: wrap; gap: 0.2rem 0.8rem; }
.frozen-explorer .frozen-stage canvas { image-rendering: pixelated; border-radius: 0; }
.frozen-explorer .frozen-stage figure { margin: 0; }
.frozen-explorer button:disabled { opacity: 0.5; }
.frozen-explorer .frozen-note { font-size: 0.9em; font-style: italic; }`;

const END = Uint8Array.of(0, 0, 0xff, 0xff); // of a flushed piece; all are stored without it
const KEPT = 4000; // unpacked squares: 16 MB

async function inflated(parts, format) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream(format));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function bytesFrom(address) {
  if (address.startsWith("#")) {
    const text = document.getElementById(address.slice(1)).textContent;
    return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  }
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// The file's JSON.
async function described(bytes) {
  const [textLength] = new Uint32Array(bytes.slice(0, 4).buffer);
  const text = await inflated([bytes.slice(8, 8 + textLength)], "gzip");
  return JSON.parse(new TextDecoder().decode(text));
}

// The file, ready to draw: { draw(picture), prepare(pictures) }.
async function opened(bytes, about, canvas) {
  const [textLength, indexLength] = new Uint32Array(bytes.slice(0, 8).buffer);
  const packedIndex = bytes.slice(8 + textLength, 8 + textLength + indexLength);
  const index = new Uint16Array((await inflated([packedIndex], "gzip")).buffer);
  const pieces = bytes.subarray(8 + textLength + indexLength);
  const { square, changing, lengths } = about;
  const area = square * square;
  const [width, height] = about.size;
  const across = Math.ceil(width / square);
  const examples = await inflated([pieces.slice(0, about.examples_length)], "gzip");

  const offsets = []; // of each changing place: where its squares lie among the pieces
  let offset = about.examples_length;
  for (const each of lengths) {
    offsets.push(each.map((length) => (offset += length) - length));
  }
  const palette = Uint8Array.from(atob(about.palette), (sign) => sign.charCodeAt(0));
  const colours = new Uint32Array(256);
  const bytesOfColours = new Uint8Array(colours.buffer);
  for (let n = 0; 3 * n < palette.length; n++) bytesOfColours.set([...palette.subarray(3 * n, 3 * n + 3), 255], 4 * n);

  [canvas.width, canvas.height] = about.size;
  const context = canvas.getContext("2d", { alpha: false });
  const image = context.createImageData(width, height);
  const dots = new Uint32Array(image.data.buffer);
  function put(place, indices, from) {
    const left = (place % across) * square, top = Math.floor(place / across) * square;
    const wide = Math.min(square, width - left), high = Math.min(square, height - top);
    for (let row = 0; row < high; row++) {
      let source = from + row * square, target = (top + row) * width + left;
      for (let column = 0; column < wide; column++) dots[target++] = colours[indices[source++]];
    }
  }
  const dictionaries = []; // of each place, as a stored block of deflate
  let from = 0;
  for (const [place, count] of about.examples.entries()) {
    const length = count * area;
    const head = Uint8Array.of(0, length & 255, length >> 8, ~length & 255, (~length >> 8) & 255);
    dictionaries.push([head, examples.subarray(from, from + length)]);
    put(place, examples, from);
    from += length;
  }
  const shown = new Array(changing.length).fill(-1);
  const ready = new Map(); // squares that are unpacked, those used last at its end
  const key = (at, number) => at * 65536 + number;
  const rowOf = (picture) => index.subarray(picture * changing.length, (picture + 1) * changing.length);

  // Unpack what these pictures need: all pieces in one stream, each behind its place's examples.
  async function prepare(pictures) {
    const wanted = new Map();
    for (const picture of pictures) {
      rowOf(picture).forEach((number, at) => {
        if (!ready.has(key(at, number))) wanted.set(key(at, number), [at, number]);
      });
    }
    if (!wanted.size) return;
    const parts = [];
    for (const [at, number] of wanted.values()) {
      const start = offsets[at][number];
      parts.push(...dictionaries[changing[at]], pieces.subarray(start, start + lengths[at][number]), END);
    }
    parts.push(Uint8Array.of(3, 0)); // the last block, empty
    const indices = await inflated(parts, "deflate-raw");
    let end = 0;
    for (const [name, [at]] of wanted) {
      end += about.examples[changing[at]] * area;
      ready.set(name, indices.slice(end, end + area));
      end += area;
    }
  }
  async function draw(picture) {
    const row = rowOf(picture);
    await prepare([picture]);
    row.forEach((number, at) => {
      const name = key(at, number), indices = ready.get(name);
      ready.delete(name);
      ready.set(name, indices);
      if (number !== shown[at]) put(changing[at], indices, 0);
      shown[at] = number;
    });
    context.putImageData(image, 0, 0);
    for (const name of ready.keys()) {
      if (ready.size <= KEPT + changing.length) break;
      ready.delete(name);
    }
  }
  return { draw, prepare };
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

let rows = 0;

// One control: its line, and show(place), which brings it in step.
function row(control, chosen) {
  const id = `frozen-${++rows}`;
  const { kind, label, texts } = control;
  const line = element("div", { className: "frozen-row" });
  if (kind === "again") {
    const button = element("button", { type: "button", textContent: label });
    button.onclick = () => chosen((place) => (place + 1) % texts.length);
    line.append(button);
    return { line, show() {} };
  }
  line.append(element("label", { htmlFor: id, textContent: label }));
  if (kind === "choice") {
    const list = element("select", { id }, ...texts.map((text) => element("option", { textContent: text })));
    list.onchange = () => chosen(() => list.selectedIndex);
    line.append(list);
    return { line, show: (place) => { list.selectedIndex = place; } };
  }
  if (kind === "switch") {
    const box = element("input", { id, type: "checkbox" });
    box.onchange = () => chosen(() => Number(box.checked));
    line.append(box);
    return { line, show: (place) => { box.checked = place === 1; } };
  }
  const slider = element("input", { id, type: "range", min: 0, max: texts.length - 1, step: 1 });
  const said = element("output", { htmlFor: id });
  slider.oninput = () => chosen(() => Number(slider.value));
  line.append(slider, said);
  if (control.play) {
    const button = element("button", { type: "button", textContent: "Play" });
    let timer = 0;
    const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
    button.onclick = () => {
      if (timer) return stop();
      button.textContent = "Stop";
      if (Number(slider.value) === texts.length - 1) chosen(() => 0);
      timer = setInterval(() => {
        chosen((place) => Math.min(place + 1, texts.length - 1));
        if (Number(slider.value) === texts.length - 1) stop();
      }, control.play);
    };
    line.append(button);
  }
  return {
    line,
    show(place) {
      slider.value = place;
      said.textContent = texts[place];
      slider.setAttribute("aria-valuetext", texts[place]);
    },
  };
}

const nearest = (values, wanted) =>
  values.reduce((best, value, at) => (Math.abs(value - wanted) < Math.abs(values[best] - wanted) ? at : best), 0);

// Between several ends at equal distances, as numpy.interp has it.
function along(ends, fraction) {
  const place = Math.min(Math.max(fraction, 0), 1) * (ends.length - 1);
  const before = Math.min(Math.floor(place), ends.length - 2);
  return ends[before] + (place - before) * (ends[before + 1] - ends[before]);
}

// Mount the explorer or quiz that `root` names in data-from. Each new picture sends the event "frozen-drawn".
export async function mount(root) {
  const bytes = await bytesFrom(root.dataset.from);
  const about = await described(bytes);
  if (about.quiz) {
    mountQuiz(root, about);
    root.dataset.alive = "quiz";
    return;
  }
  const canvas = element("canvas");
  const { draw, prepare } = await opened(bytes, about, canvas);
  const { controls } = about;
  const lengths = controls.map(({ texts }) => texts.length);
  const places = controls.map(({ first }) => first);
  const number = () => places.reduce((sum, place, at) => sum * lengths[at] + place, 0);
  // The pictures one step away, along each control.
  function neighbours() {
    const here = number(), found = [];
    let stride = 1;
    for (let at = places.length - 1; at >= 0; stride *= lengths[at--]) {
      if (places[at] > 0) found.push(here - stride);
      if (places[at] < lengths[at] - 1) found.push(here + stride);
    }
    return found.map((state) => about.drawn[state]);
  }
  const status = element("p", { role: "status" });
  let wanted, grips = [], drawing = false;

  async function show() {
    let rest = about.moves[number()]; // where limits let it go
    for (let at = places.length - 1; at >= 0; at--) {
      places[at] = rest % lengths[at];
      rest = Math.floor(rest / lengths[at]);
    }
    places.forEach((place, at) => lines[at].show(place));
    const picture = about.drawn[number()];
    if (picture === wanted) return;
    wanted = picture;
    grips = about.grips[about.gripped[picture]];
    if (drawing) return; // the last one wins
    drawing = true;
    try {
      let drawn;
      do await draw((drawn = wanted)); while (drawn !== wanted);
      status.textContent = about.words[drawn];
      root.dispatchEvent(new CustomEvent("frozen-drawn", { detail: drawn }));
    } finally {
      drawing = false;
    }
    setTimeout(() => { if (picture === wanted) prepare(neighbours()); }, 30); // the next key is answered at once
  }
  const lines = controls.map((control, at) =>
    row(control, (next) => { places[at] = next(places[at]); return show(); }));

  function point({ x, y }) {
    const held = grips.find(({ box: [left, top, width, height] }) =>
      left <= x && x <= left + width && top <= y && y <= top + height);
    if (!held) return;
    const [left, top, width, height] = held.box;
    for (const [name, ends, fraction] of [
      [held.x, held.x_ends, (x - left) / width],
      [held.y, held.y_ends, (y - top) / height],
    ]) {
      const at = controls.findIndex((control) => control.name === name);
      if (at >= 0) places[at] = nearest(controls[at].values, along(ends, fraction));
    }
    show();
  }
  grip(canvas, point, () => grips);

  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${about.title}; the line below the picture says what it shows`);
  canvas.style.width = `${about.shown}px`;
  const how = `${about.hold} Drag a slider, or use the arrow keys on it.`.trim();
  const note = about.note ? [element("p", { className: "frozen-note", textContent: about.note })] : [];
  await show();
  root.replaceChildren(
    element("p", {}, element("b", { textContent: about.title }), element("br"), how), ...note,
    ...lines.map(({ line }) => line), canvas, status);
  root.grips = () => grips;
  root.dataset.alive = "yes";
}

const found = document.querySelectorAll(".frozen-explorer[data-from]");
if (found.length) {
  document.head.append(element("style", { textContent: STYLE }));
  const watch = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watch.unobserve(target);
      // What stood in its place stays if it can't be had.
      mount(target).catch((error) => console.warn(`explorer: ${error.message}`));
    }
  }, { rootMargin: "600px" });
  found.forEach((each) => watch.observe(each));
}
