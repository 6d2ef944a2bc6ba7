// A picture that can be taken hold of: the anywidget of the explorers. `grip` also moves pages without a kernel.

const inside = ([left, top, width, height], x, y) =>
  left <= x && x <= left + width && top <= y && y <= top + height;
const between = (value, low, high) => Math.min(Math.max(value, low), high);

// Tell where an element is pressed and dragged: onpoint({x, y, kind}) in fractions of the element, kind "press",
// "move" or "release", at most once an animation frame: the last position wins.
// grips: () => [{box: [left, top, width, height], x, y}, …], the parts that can be taken hold of, in fractions too.
// A drag stays with the controls x and y that it began with; beyond their boxes it is moved to the edge.
// Returns a function that takes it all back.
export function grip(element, onpoint, grips = () => [{ box: [0, 0, 1, 1] }]) {
  const listening = new AbortController();
  let held = null, point = null, frame = 0;

  const place = (event) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  };
  const at = (event) => grips().find(({ box }) => inside(box, ...place(event)));

  function report(event, kind) {
    const [x, y] = place(event);
    const same = grips().filter((other) => other.x === held.x && other.y === held.y);
    held = same.find(({ box }) => inside(box, x, y)) ?? held;
    const [left, top, width, height] = held.box;
    point = { x: between(x, left, left + width), y: between(y, top, top + height), kind };
    frame ||= requestAnimationFrame(() => { frame = 0; onpoint(point); });
  }

  function on(name, listener) {
    element.addEventListener(name, listener, { signal: listening.signal, passive: false });
  }
  on("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary || !(held = at(event) ?? null)) return;
    element.setPointerCapture(event.pointerId);
    report(event, "press");
  });
  on("pointermove", (event) => {
    if (held && event.isPrimary) report(event, "move");
    else if (!held) element.style.cursor = at(event) ? "crosshair" : "";
  });
  on("pointerup", (event) => {
    if (held && event.isPrimary) report(event, "release");
    held = null;
  });
  on("pointercancel", () => { held = null; });
  // A finger scrolls the page, except where it takes hold of something.
  on("touchstart", (event) => { if (at(event.touches[0])) event.preventDefault(); });
  return () => { listening.abort(); cancelAnimationFrame(frame); };
}

function render({ model, el }) {
  const image = document.createElement("img");
  image.className = "widget-image";
  image.draggable = false;
  Object.assign(image.style, { display: "block", width: "100%", height: "auto", userSelect: "none" });
  el.append(image);

  let address = "";
  function show() {
    const old = address;
    address = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
    image.src = address;
    image.alt = model.get("alt");
    URL.revokeObjectURL(old);
  }
  // While a picture is being drawn, only the newest point is kept.
  let drawing = false, waiting = null;
  function send(point) {
    if (drawing) { waiting = point; return; }
    drawing = true;
    model.send(point);
  }
  function answered() {
    drawing = false;
    const point = waiting;
    waiting = null;
    if (point) send(point);
  }
  model.on("change:png", show);
  model.on("msg:custom", answered);
  const letGo = grip(image, send, () => model.get("grips"));
  show();
  return () => {
    letGo();
    model.off("change:png", show);
    model.off("msg:custom", answered);
    URL.revokeObjectURL(address);
  };
}

export default { render };
