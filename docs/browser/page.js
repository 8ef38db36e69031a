// The page: what is chosen, how far it is, and the results. Computing is the worker's business.

const part = (name) => document.getElementById(`enlarge-${name}`);
const models = await (await fetch(new URL("models.json", import.meta.url))).json();
const { scale, most, whole, instead } = models;
const wantedTile = Math.max(0, parseInt(new URLSearchParams(location.search).get("tile")) || 0);
const WHERE = { webgpu: "on the GPU", wasm: "in WebAssembly", javascript: "in JavaScript" };

let source; // {file, name, title, hr} as it was chosen
let chosen; // {picture, …} as the worker has read it
let results = []; // {title, url, kind, …}; the wipe shows two of them
let worker;
let stop; // ends what the worker does now

// ---- the worker ---------------------------------------------------------------------------------

class Cancelled extends Error {}

// Gives the worker a task. What it does now ends: a network can't be interrupted, but a worker can.
function ask(task, given, report) {
  stop?.();
  worker ??= new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    const end = (finish, value) => {
      stop = undefined;
      finish(value);
    };
    const giveUp = (error) => {
      // whatever happened, its memory is free again
      worker.terminate();
      worker = undefined;
      end(reject, error);
    };
    stop = () => giveUp(new Cancelled());
    worker.onmessage = ({ data }) => {
      if (data.progress) report(data.progress);
      else if (data.error) giveUp(new Error(data.error));
      else end(resolve, data.result);
    };
    worker.onerror = (event) => giveUp(new Error(event.message || "the worker did not start"));
    worker.postMessage({ task, ...given });
  });
}

// ---- what is said -------------------------------------------------------------------------------

function say(text) {
  part("status").textContent = text;
  part("error").textContent = "";
}

function fail(error) {
  if (error instanceof Cancelled) return;
  part("status").textContent = "";
  part("error").textContent = error.message;
}

const pixels = ({ width, height }) => `${width}×${height} pixels`;
const enlarged = ({ width, height }) => ({ width: scale * width, height: scale * height });

function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return seconds < 100 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

// ---- the picture --------------------------------------------------------------------------------

async function read() {
  if (!source) return;
  chosen = undefined;
  part("start").disabled = true;
  say(`Reading ${source.name} …`);
  try {
    const given = { file: source.file, side: Number(part("part").value), most, instead };
    chosen = await ask("read", given);
  } catch (error) {
    if (error instanceof Cancelled) return;
    clear();
    part("lr").hidden = true;
    part("about").textContent = "";
    fail(error);
    return;
  }
  clear();
  const { picture, full, large, transparent, blob } = chosen;
  const cut = picture.width < full.width || picture.height < full.height;
  const lr = add({ title: "LR, pixels as blocks", blob, lr: true });
  if (source.hr && !cut) add({ title: "HR, the ground truth", blob: source.hr });
  part("lr").src = lr.url;
  part("lr").alt = `The chosen picture, ${source.name}`;
  part("lr").hidden = false;
  const about = [`${source.title}: ${pixels(full)}.`];
  if (large) about.push(`That is too much; the most is ${most.toLocaleString("en")} pixels.`);
  if (cut) about.push(`The middle ${picture.width}×${picture.height} is taken.`);
  if (transparent) about.push("Its transparent pixels are laid on white.");
  about.push(`The result will have ${pixels(enlarged(picture))}.`);
  part("about").textContent = about.join(" ");
  part("start").disabled = false;
  say(`${source.name} is ready.`);
}

// Results belong to the picture that they were made of.
function clear() {
  results.forEach(({ url }) => URL.revokeObjectURL(url));
  results = [];
  part("results").hidden = true;
  part("list").replaceChildren();
}

async function fetched(file) {
  const answer = await fetch(new URL(file, import.meta.url));
  if (answer.ok) return answer.blob();
  throw new Error(`${file} could not be loaded: the server answered ${answer.status}`);
}

async function chooseOurs() {
  const ours = models.pictures.find(({ name }) => name === part("ours").value);
  if (!ours) return;
  part("file").value = "";
  try {
    const [lr, hr] = await Promise.all([fetched(ours.lr), fetched(ours.hr)]);
    if (part("ours").value !== ours.name) return; // another one was chosen meanwhile
    source = { file: lr, name: ours.name, title: `${ours.title} (${ours.terms})`, hr };
    await read();
  } catch (error) {
    fail(error);
  }
}

function chooseFile(file) {
  if (!file) return;
  part("ours").value = "";
  source = { file, name: file.name, title: file.name };
  read();
}

// ---- upscaling ----------------------------------------------------------------------------------

function running(is) {
  part("start").disabled = is || !chosen;
  part("cancel").disabled = !is;
  part("progress").hidden = part("left").hidden = !is;
  part("progress").removeAttribute("value");
  part("left").textContent = "";
  // a button that is disabled loses the focus
  if (is && document.activeElement !== part("method")) part("cancel").focus();
  if (!is && [document.body, part("cancel")].includes(document.activeElement))
    part("start").focus();
}

function show({ done, total, seconds }) {
  part("progress").max = total;
  if (done) part("progress").value = done;
  const left = done ? `, about ${duration((seconds / done) * (total - done))} left` : "";
  part("left").textContent =
    total > 1 ? `${done} of ${total} tiles${left}` : "in one piece, no tiles";
}

async function enlarge() {
  const methods = [{ name: "bicubic", title: "Bicubic" }, ...models.networks];
  const method = methods.find(({ name }) => name === part("method").value);
  const { picture } = chosen;
  const small = picture.width * picture.height <= whole.pixels;
  const side = wantedTile || (small ? 0 : whole.tile);
  running(true);
  say(`Upscaling with ${method.title}; the first time, the network is loaded before.`);
  try {
    const made = await ask("enlarge", { picture, method, scale, side }, show);
    const how = method.name === "bicubic" ? "" : `, ${duration(made.seconds)} ${WHERE[made.kind]}`;
    const result = add({ title: method.title, blob: made.blob, method: method.name, how });
    compare(result);
    say(`Done: ${method.title}, ${pixels(enlarged(picture))}${how}.`);
  } catch (error) {
    fail(error);
    if (error instanceof Cancelled) say("Cancelled.");
  } finally {
    running(false);
  }
}

// ---- results ------------------------------------------------------------------------------------

function add({ title, blob, ...more }) {
  const url = URL.createObjectURL(blob);
  const old = results.findIndex((result) => result.title === title);
  const result = { title, url, ...more };
  if (old >= 0) {
    URL.revokeObjectURL(results[old].url);
    results[old] = result;
  } else results.push(result);
  const entries = results.filter(({ method }) => method).map(entry);
  part("list").replaceChildren(...entries);
  return result;
}

function entry({ title, url, method, how }) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = url;
  link.download = `${source.name.replace(/\.\w+$/, "")}-x${scale}-${method}.png`;
  link.textContent = `Download ${title} (PNG)`;
  item.append(link, how);
  return item;
}

// Shows a new result on the right, beside what is on the left.
function compare(result) {
  const before = part("results").hidden ? results[0].title : part("a").value;
  const left = before === result.title ? results[0].title : before;
  for (const [name, title] of [
    ["a", left],
    ["b", result.title],
  ]) {
    part(name).replaceChildren(...results.map((each) => new Option(each.title, each.title)));
    part(name).value = title;
  }
  part("results").hidden = false;
  display();
}

function display() {
  const { width, height } = enlarged(chosen.picture);
  for (const name of ["a", "b"]) {
    const result = results.find(({ title }) => title === part(name).value);
    const image = part(`image-${name}`);
    image.src = result.url;
    image.alt = `${name === "a" ? "Left" : "Right"}: ${result.title}`;
    Object.assign(image, { width, height });
    image.classList.toggle("lr", Boolean(result.lr));
  }
  wipe();
}

function wipe() {
  const place = part("wipe").value;
  part("stage").style.setProperty("--wipe", `${place}%`);
  const [a, b] = [part("a").value, part("b").value];
  part("wipe").setAttribute("aria-valuetext", `${place} % ${a}, ${100 - place} % ${b}`);
}

function drag(event) {
  if (event.type === "pointermove" && !event.buttons) return;
  const { left, width } = part("stage").getBoundingClientRect();
  part("wipe").value = Math.round((100 * (event.clientX - left)) / width);
  wipe();
}

// ---- the controls -------------------------------------------------------------------------------

function listen() {
  part("file").addEventListener("change", () => chooseFile(part("file").files[0]));
  part("ours").addEventListener("change", chooseOurs);
  part("part").addEventListener("change", read);
  const drop = part("drop");
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind !== "drop") return;
      part("file").value = "";
      chooseFile(event.dataTransfer.files[0]);
    });
  }
  document.getElementById("enlarge").addEventListener("submit", (event) => {
    event.preventDefault();
    if (chosen) enlarge();
  });
  part("cancel").addEventListener("click", () => stop?.());
  part("a").addEventListener("change", display);
  part("b").addEventListener("change", display);
  part("wipe").addEventListener("input", wipe);
  part("full").addEventListener("change", () =>
    part("view").classList.toggle("full", part("full").checked),
  );
  for (const kind of ["pointerdown", "pointermove"]) part("stage").addEventListener(kind, drag);
  part("stage").addEventListener("dragstart", (event) => event.preventDefault());
}

for (const { name, title } of models.pictures) part("ours").append(new Option(title, name));
part("method").append(new Option("Bicubic", "bicubic"));
for (const { name, title } of models.networks) part("method").append(new Option(title, name));
part("method").value = models.networks.at(-1).name;
listen();
if (part("why-not").hidden) document.getElementById("enlarge").hidden = false;
