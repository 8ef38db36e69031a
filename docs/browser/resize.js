// MATLAB's bicubic upsampling of 8-bit pictures, equal in every pixel to hatlib.imresize: rows,
// then columns, in double precision, each pass rounded.

// Keys' cubic with a = -0.5
function cubic(distance) {
  const t = Math.abs(distance);
  if (t <= 1) return 1.5 * t * t * t - 2.5 * t * t + 1;
  return t < 2 ? -0.5 * t * t * t + 2.5 * t * t - 4 * t + 2 : 0;
}

// Which of n samples stands in for an index inside or outside 0 … n-1: "symmetric" mirrors with
// the edge sample repeated, "reflect" without, both as often as it takes.
export function mirrored(index, n, border) {
  const edge = border === "reflect" ? 1 : 0; // samples at each end that are not repeated
  const period = Math.max(1, 2 * (n - edge));
  const folded = index - period * Math.floor(index / period);
  return Math.min(folded, period - 1 + edge - folded);
}

// For each of scale·n samples, the input samples it is made of and their weights.
function taps(n, scale) {
  return Array.from({ length: scale * n }, (_, place) => {
    const centre = (place + 0.5) / scale - 0.5;
    const indices = Array.from({ length: 6 }, (_, k) => Math.floor(centre - 2) + k);
    const weights = indices.map((index) => cubic(centre - index));
    const total = weights.reduce((sum, weight) => sum + weight);
    return indices
      .map((index, k) => [mirrored(index, n, "symmetric"), weights[k] / total])
      .filter(([, weight]) => weight !== 0);
  });
}

// One pass along one axis. `lines` of them lie `apart` values from each other, and the samples of a
// line `step`; RGB of RGBA, alpha stays opaque.
function pass(source, target, plan, lines, [apart, step], [targetApart, targetStep]) {
  for (let line = 0; line < lines; line++) {
    plan.forEach((parts, place) => {
      const to = line * targetApart + place * targetStep;
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (const [index, weight] of parts) {
          sum += weight * source[line * apart + index * step + channel];
        }
        target[to + channel] = Math.floor(sum + 0.5); // half up; clamped by the array
      }
      target[to + 3] = 255;
    });
  }
}

// {width, height, data: RGBA} → the same, `scale` times as wide and high.
export function bicubic({ width, height, data }, scale) {
  const tall = new Uint8ClampedArray(4 * width * scale * height);
  const columns = [4, 4 * width];
  pass(data, tall, taps(height, scale), width, columns, columns);
  const large = new Uint8ClampedArray(scale * tall.length);
  pass(tall, large, taps(width, scale), scale * height, [4 * width, 4], [4 * scale * width, 4]);
  return { width: scale * width, height: scale * height, data: large };
}
