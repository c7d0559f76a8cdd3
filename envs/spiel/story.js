// Draws a game on a board from the data of envs/spiel/story.py.
function makeDrawing(data, canvas) {
  const WOOD = "#ddb878", LINE = "#785c32", LAST = "#c84632", FRAME = "#f4f1ea", INK = "#1f2933";
  const STONES = ["#1c1c20", "#f8f8f4"];
  const context = canvas.getContext("2d");

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

  // A whole number of pixels per cell; one cell's width around the board for the names.
  function fit() {
    const wanted = (canvas.clientWidth || 640) * (window.devicePixelRatio || 1);
    const scale = Math.max(8, Math.floor(wanted / (data.width + 2)));
    canvas.width = (data.width + 2) * scale;
    canvas.height = (data.height + 2) * scale;
    return scale;
  }

  function drawBoard(scale) {
    context.fillStyle = FRAME;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = WOOD;
    context.fillRect(scale, scale, data.width * scale, data.height * scale);
    context.strokeStyle = LINE;
    context.lineWidth = Math.max(1, scale / 32);
    for (let x = 0; x <= data.width; x++) context.strokeRect((x + 1) * scale, scale, 0, data.height * scale);
    for (let y = 0; y <= data.height; y++) context.strokeRect(scale, (y + 1) * scale, data.width * scale, 0);
    context.fillStyle = INK;
    context.font = `${Math.round(0.4 * scale)}px sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    data.columns.forEach((name, x) => context.fillText(name, (x + 1.5) * scale, (data.height + 1.5) * scale));
    data.rows.forEach((name, y) => context.fillText(name, 0.5 * scale, (y + 1.5) * scale));
  }

  function draw(k) {
    const scale = fit();
    const changed = new Set(data.changed[k]);
    drawBoard(scale);
    [...data.boards[k]].forEach((owner, cell) => {
      const x = (cell % data.width + 1.5) * scale, y = (Math.floor(cell / data.width) + 1.5) * scale;
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
