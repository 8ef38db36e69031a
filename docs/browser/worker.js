// What takes time, away from the page: reading a photo, upscaling it, writing the PNG.
import { bicubic } from "./resize.js";
import { load } from "./runtime.js";
import { upscale } from "./tiles.js";

// The middle of a picture: {left, top, width, height}, `side` pixels at most; all of it for 0.
function middle(width, height, side) {
  const [w, h] = [Math.min(width, side || width), Math.min(height, side || height)];
  return {
    left: Math.floor((width - w) / 2),
    top: Math.floor((height - h) / 2),
    width: w,
    height: h,
  };
}

// Lays transparent pixels on white: networks have learned photographs, which have none. Returns
// whether there were any.
function flatten(data) {
  let found = false;
  for (let k = 0; k < data.length; k += 4) {
    const alpha = data[k + 3];
    if (alpha === 255) continue;
    found = true;
    for (let channel = 0; channel < 3; channel++) {
      data[k + channel] = Math.round((data[k + channel] * alpha + 255 * (255 - alpha)) / 255);
    }
    data[k + 3] = 255;
  }
  return found;
}

async function png({ width, height, data }) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

// A photo's pixels, turned as its EXIF orientation says: the part of `side` pixels in its middle,
// or all of it for 0; of one that is too large, the part of `instead`.
async function read({ file, side, most, instead }) {
  const bitmap = await createImageBitmap(file).catch(() => {
    const kind = file.type ? ` (${file.type})` : "";
    throw new Error(`This browser cannot read ${file.name}${kind}; JPEG, PNG and WebP will do.`);
  });
  const full = { width: bitmap.width, height: bitmap.height };
  const wanted = middle(full.width, full.height, side);
  const large = wanted.width * wanted.height > most;
  const part = large ? middle(full.width, full.height, instead) : wanted;
  const canvas = new OffscreenCanvas(part.width, part.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, -part.left, -part.top);
  bitmap.close();
  const { width, height, data } = context.getImageData(0, 0, part.width, part.height);
  const transparent = flatten(data);
  const picture = { width, height, data };
  return { picture, full, large, transparent, blob: await png(picture) };
}

async function enlarge({ picture, method, scale, side, report }) {
  if (method.name === "bicubic") {
    return { blob: await png(bicubic(picture, scale)), kind: "javascript", seconds: 0 };
  }
  const network = await load(method);
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const large = await upscale(picture, method, side, network.run, (done, total) => {
    report({ done, total, seconds: elapsed() });
  }).catch((error) => {
    throw new Error(
      `${method.title} stopped: ${error?.message ?? error}. If memory is short, a smaller part ` +
        "of the picture will do, or ?tile=32 at the end of this page's address.",
    );
  });
  const seconds = elapsed();
  return { blob: await png(large), kind: network.kind, seconds };
}

const tasks = { read, enlarge };

self.addEventListener("message", async ({ data: { task, ...given } }) => {
  try {
    const report = (progress) => self.postMessage({ progress });
    self.postMessage({ result: await tasks[task]({ ...given, report }) });
  } catch (error) {
    self.postMessage({ error: error instanceof Error ? error.message : String(error) });
  }
});
