// The player of page.html. A drawing script before it defines makeDrawing(data, canvas, redraw), which returns
// { draw(k), legend: [[name, paint(context, x, y, radius)], ...] }; k counts what is shown, from 0.
const episode = JSON.parse(document.getElementById("episode").textContent);
const byId = (id) => document.getElementById(id);
const last = episode.columns[0].values.length - 1;
const speeds = [0.25, 0.5, 1, 2, 4, 8];
let shown = 0, playing = false, speed = 2, since = 0;

function element(parent, tag, text) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  parent.appendChild(made);
  return made;
}

const drawing = makeDrawing(episode.data, byId("picture"), () => drawing.draw(shown));
const numbers = episode.columns.map((column) => {
  element(byId("now"), "dt", column.name);
  return element(byId("now"), "dd", "");
});
for (const [name, value] of episode.facts) {
  element(byId("facts"), "dt", name);
  element(byId("facts"), "dd", value);
}
const events = episode.events.map(([k, text]) => {
  const line = element(byId("events"), "li", text);
  line.addEventListener("click", () => { pause(); show(k); });
  const mark = element(byId("marks"), "i");
  mark.style.left = `${100 * k / Math.max(last, 1)}%`;
  mark.title = text;
  mark.addEventListener("click", () => { pause(); show(k); });
  return [k, line];
});
if (!events.length) byId("happened").style.display = "none";
for (const [name, paint] of drawing.legend) {
  const entry = element(byId("legend"), "span"), icon = element(entry, "canvas");
  const ratio = window.devicePixelRatio || 1;
  icon.width = icon.height = 20 * ratio;
  icon.style.width = icon.style.height = "20px";
  const context = icon.getContext("2d");
  context.scale(ratio, ratio);
  paint(context, 10, 10, 6.5);
  element(entry, "span", name);
}
speeds.forEach((value, index) => { element(byId("speed"), "option", `${value} x`).value = index; });

function show(k) {
  shown = Math.min(Math.max(k, 0), last);
  drawing.draw(shown);
  byId("slider").value = shown;
  episode.columns.forEach((column, index) => { numbers[index].textContent = column.values[shown]; });
  for (const [when, line] of events) line.className = when <= shown ? "past" : "";
}

function pause() {
  playing = false;
  byId("play").textContent = "Play";
}

function play() {
  if (playing) return pause();
  if (shown === last) show(0);
  playing = true;
  since = performance.now();
  byId("play").textContent = "Pause";
  requestAnimationFrame(tick);
}

function tick(now) {
  if (!playing) return;
  const pace = 1000 / (episode.fps * speeds[speed]);  // milliseconds for each
  const count = Math.floor((now - since) / pace);
  if (count > 0) {
    since += count * pace;
    show(shown + count);
    if (shown === last) return pause();
  }
  requestAnimationFrame(tick);
}

function setSpeed(index) {
  speed = Math.min(Math.max(index, 0), speeds.length - 1);
  byId("speed").value = speed;
}

const go = (k) => { pause(); show(k); };
const actions = {
  " ": play,
  ArrowLeft: (event) => go(shown - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => go(shown + (event.shiftKey ? 10 : 1)),
  ArrowUp: () => setSpeed(speed + 1),
  ArrowDown: () => setSpeed(speed - 1),
  Home: () => go(0),
  End: () => go(last),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in actions)) return;
  event.preventDefault();  // neither the slider nor the page moves as well
  actions[event.key](event);
});
byId("slider").max = last;
byId("slider").addEventListener("input", () => go(Number(byId("slider").value)));
byId("play").addEventListener("click", play);
byId("first").addEventListener("click", () => go(0));
byId("back").addEventListener("click", () => go(shown - 1));
byId("forth").addEventListener("click", () => go(shown + 1));
byId("last").addEventListener("click", () => go(last));
byId("speed").addEventListener("change", () => setSpeed(Number(byId("speed").value)));
for (const button of document.querySelectorAll("button")) button.addEventListener("click", () => button.blur());
window.addEventListener("resize", () => drawing.draw(shown));
setSpeed(2);
show(0);
