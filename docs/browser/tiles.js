// Tiles: cut from a picture, computed with a halo, blended into the result. What
// hatlib/inference/tiles.py does, in the same order and with the same numbers.
import { mirrored } from "./resize.js";

// What tiles are along one side of the picture, in LR pixels: `seen` is given to the network,
// `kept` is used of its result, `end` is where the next tile's begins to be used. `weights` are
// those of the SR pixels kept; where two tiles overlap, they sum to 1.
export function spans(length, side, halo, fade, scale) {
  const result = [];
  for (let start = 0; start < length; start += side) {
    const stop = Math.min(start + side, length);
    const kept = [Math.max(start - fade, 0), Math.min(stop + fade, length)];
    const seen = [Math.max(start - halo, 0), Math.min(stop + halo, length)];
    const weights = Float32Array.from({ length: scale * (kept[1] - kept[0]) }, (_, k) => {
      const centre = kept[0] + (k + 0.5) / scale;
      const share = (pixels) => Math.min(Math.max(pixels / (2 * fade), 0), 1);
      const before = fade && start > 0 ? share(centre - (start - fade)) : 1;
      const after = fade && stop < length ? share(stop + fade - centre) : 1;
      return before * after;
    });
    result.push({ seen, kept, end: stop < length ? stop - fade : length, weights });
  }
  return result;
}

// Which pixels stand along one side of what a network is given: those seen, then as many more at
// the end as its padding wants.
function padded([start, stop], { multiple, border, always }) {
  const length = stop - start;
  const windows = always ? Math.floor(length / multiple) + 1 : Math.ceil(length / multiple);
  return Array.from({ length: windows * multiple }, (_, k) => start + mirrored(k, length, border));
}

// RGBA → float planes in [0, 1].
function planes({ width, data }, rows, columns) {
  const size = rows.length * columns.length;
  const values = new Float32Array(3 * size);
  rows.forEach((row, y) => {
    columns.forEach((column, x) => {
      const from = 4 * (row * width + column);
      const to = y * columns.length + x;
      for (let channel = 0; channel < 3; channel++) {
        values[channel * size + to] = data[from + channel] / 255;
      }
    });
  });
  return values;
}

function blank(rows, columns) {
  return { rows, columns, values: new Float32Array(3 * rows * columns) };
}

// Upscales a picture {width, height, data: RGBA}. `run(values, height, width)` is the network:
// float planes (3, h, w) in [0, 1] → those of the result; `side` that of the tiles in LR pixels, or
// 0 for the picture as a whole; `progress(done, total)` is called before each tile and after the
// last.
export async function upscale(picture, network, side, run, progress) {
  const { scale, halo, local, padding } = network;
  const longest = Math.max(picture.width, picture.height);
  const whole = Math.ceil((side || longest) / padding.multiple) * padding.multiple;
  // where nothing beyond the halo matters tiles agree, and there is nothing to hide
  const fade = local ? 0 : Math.floor(Math.min(halo, whole) / 2);
  const rows = spans(picture.height, whole, halo, fade, scale);
  const columns = spans(picture.width, whole, halo, fade, scale);
  const total = rows.length * columns.length;
  const width = scale * picture.width;
  const result = new Uint8ClampedArray(4 * width * scale * picture.height).fill(255);
  let done = 0;
  // A tile is finished but for what it shares with the next one to the right (`left`, within a row
  // of tiles) and with the row below (`above`, from one row of tiles to the next).
  let above = blank(0, width);
  for (const row of rows) {
    const height = scale * (row.end - row.kept[0]); // of what this row of tiles finishes
    const below = blank(row.weights.length - height, width);
    let left = blank(row.weights.length, 0);
    for (const column of columns) {
      progress(done, total);
      const [down, across] = [padded(row.seen, padding), padded(column.seen, padding)];
      const sr = await run(planes(picture, down, across), down.length, across.length);
      const tile = { sr, rows: scale * down.length, columns: scale * across.length };
      left = blend({ tile, row, column, scale, above, below, left, height, width, result });
      done++;
    }
    above = below;
  }
  progress(done, total);
  return { width, height: scale * picture.height, data: result };
}

// Writes what a tile finishes into the result, what the row below shares into `below`, and returns
// what the tile to the right shares.
function blend({ tile, row, column, scale, above, below, left, height, width, result }) {
  const top = scale * (row.kept[0] - row.seen[0]);
  const start = scale * (column.kept[0] - column.seen[0]);
  const finished = scale * (column.end - column.kept[0]);
  const right = blank(row.weights.length, column.weights.length - finished);
  for (let channel = 0; channel < 3; channel++) {
    const plane = channel * tile.rows * tile.columns;
    for (let y = 0; y < row.weights.length; y++) {
      for (let x = 0; x < column.weights.length; x++) {
        let value = tile.sr[plane + (top + y) * tile.columns + start + x];
        if (!Number.isFinite(value)) throw new Error("the network's result is not finite");
        value *= column.weights[x] * row.weights[y];
        if (x < left.columns) value += left.values[(channel * left.rows + y) * left.columns + x];
        if (x >= finished) {
          right.values[(channel * right.rows + y) * right.columns + x - finished] = value;
          continue;
        }
        const place = scale * column.kept[0] + x;
        if (y < above.rows) value += above.values[(channel * above.rows + y) * width + place];
        if (y >= height) {
          below.values[(channel * below.rows + y - height) * width + place] = value;
        } else {
          const pixel = (scale * row.kept[0] + y) * width + place;
          result[4 * pixel + channel] = Math.floor(255 * value + 0.5); // clamped by the array
        }
      }
    }
  }
  return right;
}
