// Draws pictures that are in the page: data.frames are data: addresses, data.width and data.height pixels.
function makeDrawing(data, canvas, redraw) {
  canvas.width = data.width;
  canvas.height = data.height;
  const context = canvas.getContext("2d");
  const images = new Map();

  function load(k) {
    if (!images.has(k) && k < data.frames.length) {
      const image = new Image();
      images.set(k, image);
      image.addEventListener("load", redraw);
      image.src = data.frames[k];
    }
    return images.get(k);
  }

  function draw(k) {
    const image = load(k);
    for (let ahead = 1; ahead < 10; ahead++) load(k + ahead);
    if (image.complete) context.drawImage(image, 0, 0);
  }
  return { draw, legend: [] };
}
