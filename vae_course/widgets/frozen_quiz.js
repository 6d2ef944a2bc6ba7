// A quiz in a page without a kernel: what `Quiz` asks and says in a notebook, from the JSON that its `freeze` wrote.

function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Grey bytes in base64 as a canvas of their own size, shown `scale` times as large.
function picture(text, [width, height], scale, label) {
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  [...atob(text)].forEach((sign, at) => {
    const grey = sign.charCodeAt(0);
    image.data.set([grey, grey, grey, 255], 4 * at);
  });
  context.putImageData(image, 0, 0);
  canvas.style.width = `${width * scale}px`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}

// How probable it is to have so many of `total` right, or more, by guessing.
function luck(right, total, chance) {
  let sum = 0, ways = 1; // of choosing k among total
  for (let k = 0; k <= total; k++) {
    if (k >= right) sum += ways * chance ** k * (1 - chance) ** (total - k);
    ways = (ways * (total - k)) / (k + 1);
  }
  return sum;
}

function result({ names, key }, given) {
  const total = key.length, right = given.filter((answer, at) => answer === key[at]).length;
  const share = luck(right, total, 1 / names.length);
  const lucky = share < 0.01 ? "less than 1 %" : `${Math.round(100 * share)} %`;
  const table = names.map((source, number) => {
    const answers = given.filter((_, at) => key[at] === number);
    const said = names.map((name, other) => [answers.filter((answer) => answer === other).length, name]);
    const told = said.filter(([count]) => count).map(([count, name]) => `${count} × ${name}`);
    return `${source} (${answers.length} pictures): you said ${told.join(", ")}.`;
  });
  return `${right} of ${total} right; pure guessing gives ${(total / names.length).toFixed(1)} on average, ` +
    `and ${right} or more in ${lucky} of all quizzes. ${table.join(" ")}`;
}

// Put the quiz into `root`. Each new picture sends the event "frozen-drawn".
export function mountQuiz(root, { title, quiz }) {
  const { names, key, pictures, sizes, scale } = quiz;
  const given = [];
  const stage = make("div", { className: "frozen-stage" });
  const status = make("p", { role: "status" });

  function show() {
    const finished = given.length === key.length;
    if (!finished) {
      const at = given.length, said = `Picture ${at + 1} of ${key.length}`;
      stage.replaceChildren(picture(pictures[at], sizes[at], scale, said));
      status.textContent = `${said}.`;
    } else {
      const sheet = key.map((source, at) => {
        const wrong = given[at] === source ? "" : " ×";
        const label = `${at + 1}: ${names[source]}${wrong}`;
        return make("figure", {}, picture(pictures[at], sizes[at], 2.5, label), make("figcaption", { textContent: label }));
      });
      stage.replaceChildren(...sheet);
      status.textContent = result(quiz, given);
    }
    answers.forEach((button) => { button.disabled = finished; });
    root.dispatchEvent(new CustomEvent("frozen-drawn", { detail: given.length }));
  }
  function answer(number) {
    if (given.length === key.length) return;
    given.push(number);
    show();
    if (given.length === key.length) again.focus(); // the button that had the focus can't keep it
  }
  const answers = names.map((name, number) => {
    const button = make("button", { type: "button", textContent: name });
    button.onclick = () => answer(number);
    return button;
  });
  const again = make("button", { type: "button", textContent: "Start again" });
  again.onclick = () => { given.length = 0; show(); };
  const row = make("div", { className: "frozen-row" }, ...answers, again);
  row.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const number = names.findIndex((name) => name[0].toLowerCase() === event.key.toLowerCase());
    if (number >= 0) answer(number);
  };
  const letters = names.map((name) => `${name[0].toLowerCase()} for ${name}`).join(" or ");
  show();
  root.replaceChildren(
    make("p", {}, make("b", { textContent: title }), make("br"), `Press a button; once on one, you can also type ${letters}.`),
    stage, row, status);
}
