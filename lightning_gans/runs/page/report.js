"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const grouped = new Intl.NumberFormat("en");
const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

for (const figure of document.querySelectorAll("[data-film]")) {
  const film = data.films[figure.dataset.film];
  const slider = figure.querySelector("input");
  if (!slider) continue;
  const image = figure.querySelector("img");
  const button = figure.querySelector("button");
  const output = figure.querySelector("output");
  film.frames[film.frames.length - 1].source = image.src;
  let timer = 0;
  const show = () => {
    const frame = film.frames[slider.value];
    const text = grouped.format(frame.step);
    image.src = frame.source;
    image.alt = `${film.kind} after ${text} iterations`;
    output.textContent = text;
    slider.setAttribute("aria-valuetext", `iteration ${text}`);
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
  };
  slider.addEventListener("input", () => { stop(); show(); });
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    show();
    button.textContent = "Stop";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (slider.value === slider.max) stop();
    }, 400);
  });
  slider.hidden = button.hidden = false;
  show();
}

// the place of a value on an axis, as the curves were drawn
function place(axis, value) {
  const [low, high, at] = axis.logarithmic
    ? [axis.low, axis.high, value].map(Math.log) : [axis.low, axis.high, value];
  return axis.start + (at - low) / (high - low) * (axis.end - axis.start);
}

for (const figure of document.querySelectorAll("[data-chart]")) {
  const chart = data.charts[figure.dataset.chart];
  const svg = figure.querySelector("svg");
  const cursor = figure.querySelector(".cursor");
  const read = figure.querySelector(".read");
  const steps = [...new Set(chart.lines.flatMap((line) => line.steps))].sort((a, b) => a - b);
  const before = read.textContent;
  let index = steps.length;
  const show = (next) => {
    index = Math.max(0, Math.min(steps.length - 1, next));
    const step = steps[index];
    const told = chart.lines.flatMap((line) => {
      const at = line.steps.indexOf(step);
      if (at < 0) return [];
      const value = line.values[at] === null ? "not finite" : digits.format(line.values[at]);
      return [chart.lines.length > 1 ? `${line.label} ${value}` : value];
    });
    const x = place(chart.x, step);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    cursor.setAttribute("visibility", "visible");
    read.textContent = `${chart.unit} ${grouped.format(step)}: ${told.join("; ")}`;
  };
  const hide = () => {
    cursor.setAttribute("visibility", "hidden");
    read.textContent = before;
    index = steps.length;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    let nearest = 0;
    steps.forEach((step, i) => {
      if (Math.abs(place(chart.x, step) - x) < Math.abs(place(chart.x, steps[nearest]) - x)) {
        nearest = i;
      }
    });
    show(nearest);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: steps.length - 1 };
    if (event.key in moves) {
      event.preventDefault();
      show(index === steps.length && event.key === "ArrowRight" ? 0 : moves[event.key]);
    } else if (event.key === "Escape") {
      hide();
    }
  });
}
