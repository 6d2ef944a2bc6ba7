// A pad to draw on with mouse, pen or finger: white ink on black, reported while it is drawn.

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.className = "drawing-pad";
  canvas.width = canvas.height = 448;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Pad to draw a digit on with mouse, pen or finger; by keyboard choose one of ours");
  Object.assign(canvas.style, {
    width: "224px", height: "224px", background: "black", cursor: "crosshair", touchAction: "none",
    outline: "1px solid gray", margin: "2px",
  });
  el.append(canvas);
  const pen = canvas.getContext("2d");
  const listening = new AbortController();
  let strokes = [], drawing = false, frame = 0;

  function draw() {
    const size = canvas.width;
    pen.clearRect(0, 0, size, size);
    Object.assign(pen, { strokeStyle: "white", lineCap: "round", lineJoin: "round" });
    pen.lineWidth = (model.get("width") / 28) * size;
    for (const stroke of strokes) {
      pen.beginPath();
      stroke.forEach(([x, y]) => pen.lineTo(x * size, y * size));
      pen.lineTo(stroke[0][0] * size, stroke[0][1] * size + (stroke.length > 1 ? NaN : 0.01)); // a dot
      pen.stroke();
    }
  }
  function take() {
    if (drawing) return; // what comes back while the pen is down is older than what it draws
    strokes = model.get("strokes").map((stroke) => [...stroke]);
    draw();
  }
  function add(event) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const inside = (value) => Math.round(1000 * Math.min(Math.max(value, 0), 1)) / 1000;
    strokes.at(-1).push([inside((event.clientX - left) / width), inside((event.clientY - top) / height)]);
  }
  function report() {
    frame = 0;
    draw();
    // Sent one at a time: while the kernel works, only the newest drawing waits.
    model.set("strokes", strokes.map((stroke) => [...stroke]));
    model.save_changes();
  }
  function on(name, listener) {
    canvas.addEventListener(name, (event) => event.isPrimary && listener(event), { signal: listening.signal });
  }
  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (model.get("fresh")) strokes = []; // a digit of ours goes, when yours begins
    model.set("fresh", false);
    drawing = true;
    strokes.push([]);
    add(event);
    frame ||= requestAnimationFrame(report);
  });
  on("pointermove", (event) => {
    if (!drawing) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    (passed.length ? passed : [event]).forEach(add);
    frame ||= requestAnimationFrame(report);
  });
  const lift = () => { drawing = false; };
  on("pointerup", lift);
  on("pointercancel", lift);
  model.on("change:strokes", take);
  model.on("change:width", draw);
  take();
  return () => {
    listening.abort();
    cancelAnimationFrame(frame);
    model.off("change:strokes", take);
    model.off("change:width", draw);
  };
}

export default { render };
