// Draws the realm from the data of envs/realm/story.py, as envs/realm/picture.py does. Units on the map: cells; y grows to the South.
function makeDrawing(data, canvas) {
  const FLOOR = "#f4f1ea", WALL = "#5c6778", EDGE = "#3e4756", INK = "#1f2933", BRIGHT = "#ffffff";
  const HERO = "#0072b2", WAY = "#56b4e9", TREASURE = "#f0be00", TAKEN = "#969696", END = "#d55e00", GREEN = "#009e73", JUMP = "#cc79a7";
  const TAIL = 40;
  const size = data.rows.length;
  const context = canvas.getContext("2d");
  const spot = (x, z) => [x / data.cell, size - z / data.cell];
  const places = data.x.map((x, k) => spot(x, data.z[k]));
  const points = data.points.map(([x, z]) => spot(x, z));
  const jumps = new Set(data.jumps);
  const within = (spans, k) => spans.some(([from, to]) => from <= k && k < to);
  let map = null;

  function disc(pen, x, y, radius, colour) {
    pen.fillStyle = colour;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
  }

  function shape(pen, x, y, radius, corners, colour) {
    pen.fillStyle = colour;
    pen.beginPath();
    for (const [dx, dy] of corners) pen.lineTo(x + dx * radius, y + dy * radius);
    pen.fill();
  }

  const DIAMOND = [[-1, 0], [0, -1], [1, 0], [0, 1]];
  const BOLT = [[0.25, -0.8], [-0.5, 0.15], [-0.05, 0.15], [-0.25, 0.8], [0.5, -0.15], [0.05, -0.15]];
  const discs = (pen, x, y, r, list) => { for (const [share, colour] of list) disc(pen, x, y, share * r, colour); };
  const hero = (pen, x, y, r, fast) => {
    if (fast) disc(pen, x, y, 1.45 * r, GREEN);
    discs(pen, x, y, r, [[1.2, INK], [1.05, BRIGHT], [0.75, HERO]]);
  };
  const treasure = (pen, x, y, r, there) => {
    shape(pen, x, y, 1.25 * r, DIAMOND, there ? INK : TAKEN);
    shape(pen, x, y, 0.95 * r, DIAMOND, there ? TREASURE : FLOOR);
  };
  const end = (pen, x, y, r) => discs(pen, x, y, r, [[1.25, INK], [1.1, END], [0.75, BRIGHT], [0.42, END]]);
  const start = (pen, x, y, r) => discs(pen, x, y, r, [[1.1, INK], [0.8, BRIGHT], [0.3, INK]]);
  const buff = (pen, x, y, r, there) => {
    discs(pen, x, y, r, [[1.2, there ? INK : TAKEN], [1.02, there ? GREEN : FLOOR]]);
    shape(pen, x, y, r, BOLT, there ? BRIGHT : TAKEN);
  };

  function drawMap(scale) {
    const image = document.createElement("canvas");
    image.width = image.height = size * scale;
    const pen = image.getContext("2d");
    const free = (row, column) => data.rows[row]?.[column] === ".";
    pen.fillStyle = WALL;
    pen.fillRect(0, 0, image.width, image.height);
    pen.fillStyle = FLOOR;
    data.rows.forEach((row, y) => {
      for (let x = 0; x < size; x++) if (row[x] === ".") pen.fillRect(x * scale, y * scale, scale, scale);
    });
    pen.fillStyle = EDGE;
    const line = Math.max(1, Math.round(scale / 16));
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        if (free(y, x) !== free(y - 1, x)) pen.fillRect(x * scale, y * scale, scale + line, line);
        if (free(y, x) !== free(y, x - 1)) pen.fillRect(x * scale, y * scale, line, scale + line);
      }
    }
    return image;
  }

  // A whole number of pixels per cell, so that cells are crisp.
  function fit() {
    const wanted = (canvas.clientWidth || 640) * (window.devicePixelRatio || 1);
    const scale = Math.max(2, Math.round(wanted / size));
    if (map === null || map.width !== size * scale) {
      map = drawMap(scale);
      canvas.width = canvas.height = size * scale;
    }
    return scale;
  }

  function mixed(share) {  // from WAY to HERO
    const from = [86, 180, 233], to = [0, 114, 178];
    return `rgb(${from.map((value, i) => Math.round(value + share * (to[i] - value))).join(",")})`;
  }

  function walk(scale, first, stop, colour, width) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    for (let k = first; k <= stop; k++) {
      const [x, y] = places[k];
      if (k === first || jumps.has(k)) context.moveTo(x * scale, y * scale);
      else context.lineTo(x * scale, y * scale);
    }
    context.stroke();
  }

  function drawWay(scale, k) {
    const width = scale / 14 + 1.3 * (window.devicePixelRatio || 1);
    context.lineJoin = context.lineCap = "round";
    const tail = Math.max(0, k - TAIL);
    walk(scale, 0, tail, WAY, width);
    for (let step = tail + 1; step <= k; step++) {
      const share = 1 - (k - step) / TAIL;
      if (!jumps.has(step)) walk(scale, step - 1, step, mixed(share), width * (1 + 0.4 * share));
    }
  }

  function drawWindow(scale, k) {
    const [x, y] = places[k];
    const side = (2 * data.radius + 1) * scale;
    const left = (Math.floor(x) - data.radius) * scale, top = (Math.ceil(y) - 1 - data.radius) * scale;
    context.fillStyle = "rgba(31, 41, 51, 0.22)";
    context.beginPath();
    context.rect(0, 0, canvas.width, canvas.height);
    context.rect(left, top, side, side);
    context.fill("evenodd");
    context.strokeStyle = BRIGHT;
    context.lineWidth = window.devicePixelRatio || 1;
    context.strokeRect(left + 0.5, top + 0.5, side - 1, side - 1);
  }

  function drawJumps(scale, k) {
    context.strokeStyle = JUMP;
    context.lineWidth = scale / 14 + 1.6 * (window.devicePixelRatio || 1);
    context.lineCap = "butt";
    context.setLineDash([4.8, 3.2].map((part) => part * (window.devicePixelRatio || 1)));
    for (const jump of data.jumps) {
      if (jump > k) continue;
      context.beginPath();
      context.moveTo(places[jump - 1][0] * scale, places[jump - 1][1] * scale);
      context.lineTo(places[jump][0] * scale, places[jump][1] * scale);
      context.stroke();
    }
    context.setLineDash([]);
  }

  function draw(k) {
    const scale = fit();
    const radius = Math.max(6 * (canvas.width / 640), 0.45 * scale);
    const at = (point) => points[point].map((cells) => cells * scale);
    context.save();
    context.drawImage(map, 0, 0);
    context.beginPath();
    context.rect(0, 0, canvas.width, canvas.height);
    context.clip();
    drawWay(scale, k);
    drawWindow(scale, k);
    drawJumps(scale, k);
    start(context, ...at(data.start), radius);
    buff(context, ...at(data.buff), radius, !within(data.gone, k));
    for (const point of data.treasures) treasure(context, ...at(point), radius, !(data.taken[point] <= k));
    end(context, ...at(data.end), radius);
    hero(context, places[k][0] * scale, places[k][1] * scale, radius, within(data.fast, k));
    context.restore();
  }

  const line = (colour, dash) => (pen, x, y, r) => {
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    pen.setLineDash(dash);
    pen.beginPath();
    pen.moveTo(x - 1.4 * r, y);
    pen.lineTo(x + 1.4 * r, y);
    pen.stroke();
  };
  const legend = [
    ["hero", hero],
    ["fast", (pen, x, y, r) => hero(pen, x, y, r, true)],
    ["treasure", (pen, x, y, r) => treasure(pen, x, y, r, true)],
    ["taken", (pen, x, y, r) => treasure(pen, x, y, r, false)],
    ["start", start],
    ["end", end],
    ["buff", (pen, x, y, r) => buff(pen, x, y, r, true)],
    ["buff, gone", (pen, x, y, r) => buff(pen, x, y, r, false)],
    ["way", line(WAY, [])],
    ["flash", line(JUMP, [4, 3])],
    ["what the hero sees", (pen, x, y, r) => { pen.strokeStyle = BRIGHT; pen.strokeRect(x - r, y - r, 2 * r, 2 * r); }],
  ];
  return { draw, legend };
}
