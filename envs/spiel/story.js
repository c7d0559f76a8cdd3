// Draws a game on a board from the data of envs/spiel/story.py.
function makeDrawing(data, canvas) {
  const WOOD = "#ddb878", LINE = "#785c32", LAST = "#c84632", FRAME = "#f4f1ea", INK = "#1f2933";
  const STONES = ["#1c1c20", "#f8f8f4"];
  const context = canvas.getContext("2d");
  const edge = Math.min(1, 0.35 + 0.07 * data.width);  // cells around the board, for the names

  function stone(pen, x, y, radius, player) {
    pen.fillStyle = STONES[player];
    pen.strokeStyle = LINE;
    pen.lineWidth = Math.max(1, radius / 12);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
  }

  function ring(pen, x, y, radius) {
    pen.strokeStyle = LAST;
    pen.lineWidth = Math.max(1.5, radius / 6);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.stroke();
  }

  // A whole number of pixels per cell.
  function fit() {
    const wanted = (canvas.clientWidth || 640) * (window.devicePixelRatio || 1);
    const scale = Math.max(8, Math.floor(wanted / (data.width + 2 * edge)));
    canvas.width = Math.round((data.width + 2 * edge) * scale);
    canvas.height = Math.round((data.height + 2 * edge) * scale);
    return scale;
  }

  function drawBoard(scale) {
    context.fillStyle = FRAME;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = WOOD;
    const from = Math.round(edge * scale);
    context.fillRect(from, from, data.width * scale, data.height * scale);
    context.strokeStyle = LINE;
    context.lineWidth = Math.max(1, scale / 32);
    for (let x = 0; x <= data.width; x++) context.strokeRect(from + x * scale, from, 0, data.height * scale);
    for (let y = 0; y <= data.height; y++) context.strokeRect(from, from + y * scale, data.width * scale, 0);
    context.fillStyle = INK;
    context.font = `${Math.round(0.4 * edge * scale)}px sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    data.columns.forEach((name, x) => context.fillText(name, from + (x + 0.5) * scale, from + (data.height + edge / 2) * scale));
    data.rows.forEach((name, y) => context.fillText(name, from / 2, from + (y + 0.5) * scale));
  }

  function draw(k) {
    const scale = fit();
    const changed = new Set(data.changed[k]);
    drawBoard(scale);
    [...data.boards[k]].forEach((owner, cell) => {
      const from = Math.round(edge * scale);
      const x = from + (cell % data.width + 0.5) * scale, y = from + (Math.floor(cell / data.width) + 0.5) * scale;
      if (owner !== ".") stone(context, x, y, 0.4 * scale, Number(owner));
      if (changed.has(cell)) ring(context, x, y, 0.2 * scale);
    });
  }

  const legend = [
    ["player 0", (pen, x, y, r) => stone(pen, x, y, r, 0)],
    ["player 1", (pen, x, y, r) => stone(pen, x, y, r, 1)],
    ["changed by this move", (pen, x, y, r) => ring(pen, x, y, 0.6 * r)],
  ];
  return { draw, legend };
}
