// ONNX Runtime Web: on the GPU where the browser has WebGPU and the GPU's numbers are right, else
// in WebAssembly. The two are separate downloads; a visitor without WebGPU needs the smaller one.

const LIBRARIES = {
  webgpu: ["./ort.webgpu.bundle.min.mjs", "./ort-wasm-simd-threaded.asyncify.wasm"],
  wasm: ["./ort.wasm.bundle.min.mjs", "./ort-wasm-simd-threaded.wasm"],
};
const TRIED = 16; // side of the picture that GPU and processor are compared on, in LR pixels
const CLOSE = 0.5 / 255;

let open; // {name, run, release}: one network at a time is in memory

async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  // one in software is slower than WebAssembly
  return Boolean(adapter) && !adapter.info?.isFallbackAdapter;
}

async function library(kind) {
  const [script, binary] = LIBRARIES[kind];
  const ort = await import(script);
  ort.env.wasm.wasmPaths = { wasm: new URL(binary, import.meta.url).href };
  // threads share memory, which a server has to allow by its headers
  ort.env.wasm.numThreads = self.crossOriginIsolated
    ? Math.min(4, navigator.hardwareConcurrency)
    : 1;
  return ort;
}

async function download(file) {
  const answer = await fetch(new URL(file, import.meta.url));
  if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
  throw new Error(`${file} could not be loaded: the server answered ${answer.status}`);
}

async function session(ort, bytes, kind) {
  const opened = await ort.InferenceSession.create(bytes, { executionProviders: [kind] });
  return {
    kind,
    release: () => opened.release(),
    run: async (values, height, width) => {
      const lr = new ort.Tensor("float32", values, [1, 3, height, width]);
      const { sr } = await opened.run({ lr });
      const result = await sr.getData();
      sr.dispose();
      return result;
    },
  };
}

// Whether two sessions give the same result of one small picture, but for rounding.
async function agree(one, other) {
  const values = Float32Array.from(
    { length: 3 * TRIED * TRIED },
    (_, k) => ((k * 7919) % 251) / 250,
  );
  const [a, b] = [await one.run(values, TRIED, TRIED), await other.run(values, TRIED, TRIED)];
  return a.length === b.length && a.every((value, k) => Math.abs(value - b[k]) < CLOSE);
}

// The network on the GPU, if that works; on the processor from the first failure on.
async function withGpu(ort, bytes) {
  const processor = await session(ort, bytes, "wasm");
  const gpu = await session(ort, bytes, "webgpu").catch(() => null);
  if (!gpu || !(await agree(gpu, processor).catch(() => false))) return processor;
  const both = {
    kind: "webgpu",
    release: () => Promise.allSettled([gpu.release(), processor.release()]),
    run: async (...lr) => {
      if (both.kind === "webgpu") {
        try {
          return await gpu.run(...lr);
        } catch {
          both.kind = "wasm"; // such as a device that was lost, or had too little memory
        }
      }
      return processor.run(...lr);
    },
  };
  return both;
}

// A network of models.json, ready to run: {kind: "webgpu" or "wasm", run(values, height, width)}.
export async function load(network) {
  if (open?.name === network.name) return open.loaded;
  await open?.loaded.release();
  open = undefined;
  const bytes = await download(network.file);
  const kind = (await hasGpu()) ? "webgpu" : "wasm";
  const ort = await library(kind);
  const loaded = kind === "webgpu" ? await withGpu(ort, bytes) : await session(ort, bytes, "wasm");
  open = { name: network.name, loaded };
  return loaded;
}
