"use strict";
(() => {
  const id = (name) => document.getElementById(name);
  const table = id("table"), body = table.tBodies[0], stages = [id("stage"), id("residual")];
  const images = { left: id("left").firstChild, right: id("right").firstChild };
  const choices = { left: id("left-choice"), right: id("right-choice") };
  const residualImage = id("residual").querySelector("img");
  const wanted = { left: "noisy", right: "denoised" };
  // `x`, `y`: the image point at the centre of the stage, from 0 to 1. `scale`: screen px per image pixel.
  const look = { scale: 1, x: 0.5, y: 0.5, split: 0.5 };
  const MOST = 64;
  let shown = null, row = null;

  // Show an image

  function show(next) {
    const data = next && id(next.id.replace("r", "d"));
    if (!data) return;
    const before = shown;
    shown = JSON.parse(data.textContent);
    row?.removeAttribute("aria-current");
    row = next;
    row.setAttribute("aria-current", "true");
    id("viewer").hidden = false;
    id("name").textContent = id("name").title = row.cells[2].textContent;
    for (const side of ["left", "right"]) offer(side);
    residualImage.src = shown.files.residual;
    describe();
    plot();
    uncover(row);
    if (!before || before.cut.join() !== shown.cut.join()) fit();
    else layout();
  }

  // Scroll only the table, so that the images stay in place.
  function uncover(line) {
    const box = document.querySelector(".scroll"), head = table.tHead.offsetHeight;
    const top = line.offsetTop - head, bottom = line.offsetTop + line.offsetHeight - box.clientHeight;
    box.scrollTop = Math.max(bottom, Math.min(top, box.scrollTop));
  }

  function offer(side) {
    const names = Object.keys(shown.files).filter((name) => name !== "residual");
    choices[side].replaceChildren(...names.map((name) => new Option(name, name)));
    choices[side].value = names.includes(wanted[side]) ? wanted[side] : side === "left" ? "noisy" : "denoised";
    choose(side);
  }

  function choose(side) {
    images[side].src = shown.files[choices[side].value];
    images[side].alt = choices[side].value;
    split(look.split);
  }

  function describe() {
    const [width, height] = shown.cut, [wide, high, channels] = shown.whole;
    const [mean, deviation] = shown.residual, listed = linked();
    const part = width === wide && height === high
      ? `The whole image, ${wide} × ${high} px.`
      : `The middle ${width} × ${height} px of ${wide} × ${high}.`;
    const some = { 1: "", 2: " The first of 2 channels.", 3: "" }[channels] ?? ` Channels 1 to 3 of ${channels}.`;
    const bright = shown.brightness === 1 ? "" : ` A dark image, shown ${shown.brightness} times brighter.`;
    const exact = shown.lossless ? "" : " Compressed (JPEG) to keep this page small.";
    id("cut").textContent = part + some + bright + exact;
    id("moments").textContent = `mean ${signed(mean)}, s.d. ${deviation.toFixed(2)} of 255`;
    const place = listed.length > 1 ? [`${(listed.indexOf(row) + 1).toLocaleString("en")} of ${listed.length.toLocaleString("en")}`] : [];
    id("place").textContent = [...place, ...scores()].join("  ·  ");
    id("steps").hidden = listed.length < 2;
    id("compared").hidden = !shown.noise;
    document.querySelector(".printed").replaceChildren(...Object.entries(shown.files).map(([name, file]) => {
      const figure = document.createElement("figure"), image = new Image();
      image.src = file;
      figure.append(image, name);
      return figure;
    }));
  }

  function scores() {
    const heads = [...table.tHead.rows[0].cells].slice(4);
    return heads.map((head, place) => {
      const [name, unit] = head.textContent.split(", ");
      const cell = row.cells[4 + place];
      return cell.dataset.value && [name, cell.textContent, unit ?? ""].join(" ").trim();
    }).filter(Boolean);
  }

  function signed(value) {
    const digits = Math.abs(value).toFixed(2);
    return (Number(digits) === 0 ? "" : value < 0 ? "−" : "+") + digits;
  }

  const linked = () => [...body.rows].filter((line) => line.classList.contains("linked"));

  function step(by) {
    const listed = linked(), next = listed[listed.indexOf(row) + by];
    if (next) location.hash = next.id.replace("r", "p");
  }

  // Zoom and position

  const ratio = () => window.devicePixelRatio || 1;
  const room = () => ({ width: stages[0].clientWidth, height: Math.max(240, 0.66 * window.innerHeight) });

  // A whole number of screen pixels per image pixel, at least one, so that noise is not aliased.
  function fitting() {
    const [width, height] = shown.cut, space = room();
    const scale = Math.floor(Math.min(space.width / width, space.height / height) * ratio()) / ratio();
    return Math.min(MOST, Math.max(1 / ratio(), scale));
  }

  function fit() {
    Object.assign(look, { scale: fitting(), x: 0.5, y: 0.5 });
    layout();
  }

  function layout() {
    if (!shown) return;
    const [width, height] = shown.cut, scale = look.scale, space = room();
    const high = Math.max(160, Math.min(space.height, height * fitting()));
    const middle = { x: within(look.x, space.width, width * scale), y: within(look.y, high, height * scale) };
    Object.assign(look, middle);
    const snapped = (length) => Math.round(length * ratio()) / ratio();
    const x = snapped(space.width / 2 - look.x * width * scale), y = snapped(high / 2 - look.y * height * scale);
    const zoomed = width * scale > space.width + 1 || height * scale > high + 1;
    for (const stage of stages) {
      stage.style.height = `${high}px`;
      stage.classList.toggle("zoomed", zoomed);
      stage.classList.toggle("whole", !zoomed);
    }
    for (const image of [images.left, images.right, residualImage]) {
      image.style.width = `${width}px`;
      image.style.height = `${height}px`;
      image.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
      image.classList.toggle("sharp", scale * ratio() >= 1);
    }
    id("scale").textContent = `${Math.round(100 * scale)} %`;
  }

  function within(place, space, length) {
    if (length <= space) return 0.5;
    const margin = space / 2 / length;
    return Math.min(1 - margin, Math.max(margin, place));
  }

  function split(part) {
    look.split = Math.min(1, Math.max(0, part));
    const percent = 100 * look.split, divider = id("divider");
    id("left").style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
    id("right").style.clipPath = `inset(0 0 0 ${percent}%)`;
    divider.style.left = `${percent}%`;
    divider.setAttribute("aria-valuenow", Math.round(percent));
    divider.setAttribute("aria-valuetext", `${Math.round(percent)} % ${choices.left.value}, the rest ${choices.right.value}`);
  }

  // Zoom around the point (x, y) of the stage.
  function zoom(scale, x = stages[0].clientWidth / 2, y = stages[0].clientHeight / 2) {
    const [width, height] = shown.cut, before = look.scale;
    look.scale = Math.min(MOST, Math.max(Math.min(fitting(), 1 / ratio()), scale));
    look.x += (x - stages[0].clientWidth / 2) * (1 / before - 1 / look.scale) / width;
    look.y += (y - stages[0].clientHeight / 2) * (1 / before - 1 / look.scale) / height;
    layout();
  }

  function nextScale(direction) {
    const steps = [...[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64].map((n) => n / ratio()), fitting()];
    steps.sort((a, b) => a - b);
    const found = direction > 0
      ? steps.find((scale) => scale > look.scale * 1.01)
      : steps.filter((scale) => scale < look.scale * 0.99).pop();
    return Math.min(MOST, found ?? look.scale);
  }

  function pan(x, y) {
    look.x -= x / look.scale / shown.cut[0];
    look.y -= y / look.scale / shown.cut[1];
    layout();
  }

  // Mouse, touch and keyboard

  const pointers = new Map();
  let dragging = null, scrolled = -Infinity, wheel = 0;

  function spread() {
    const [a, b] = [...pointers.values()];
    return { length: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  }

  function place(stage, event) {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  for (const stage of stages) {
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const divides = event.target === id("divider") || (stage === stages[0] && stage.classList.contains("whole"));
      pointers.set(event.pointerId, place(stage, event));
      dragging = pointers.size === 2 ? "pinch" : divides ? "divider" : "image";
      stage.setPointerCapture(event.pointerId);
      if (dragging === "divider") split(place(stage, event).x / stage.clientWidth);
      if (dragging === "image") stage.classList.add("held");
    });
    stage.addEventListener("pointermove", (event) => {
      const last = pointers.get(event.pointerId);
      if (!last || !dragging) return;
      const before = pointers.size === 2 ? spread() : null;
      const now = place(stage, event);
      pointers.set(event.pointerId, now);
      if (dragging === "divider") split(now.x / stage.clientWidth);
      else if (dragging === "image") pan(now.x - last.x, now.y - last.y);
      else if (before) {
        const after = spread();
        pan(after.x - before.x, after.y - before.y);
        if (before.length > 0) zoom(look.scale * after.length / before.length, after.x, after.y);
      }
    });
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, (event) => {
        pointers.delete(event.pointerId);
        dragging = null;
        stage.classList.remove("held");
      });
    }
    stage.addEventListener("wheel", (event) => {
      // Let a page that is scrolling go on, also where zooming out would do nothing.
      const out = event.deltaY > 0;
      if (performance.now() - scrolled < 300 || (out && look.scale <= fitting())) return;
      event.preventDefault();
      wheel = Math.sign(wheel) === Math.sign(event.deltaY) ? wheel + event.deltaY : event.deltaY;
      if (Math.abs(wheel) < 40) return; // a touchpad sends many small events
      wheel = 0;
      const at = place(stage, event);
      zoom(nextScale(out ? -1 : 1), at.x, at.y);
    }, { passive: false });
    stage.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      if (event.target !== stage || !moves[event.key] || !stage.classList.contains("zoomed")) return;
      event.preventDefault();
      pan(...moves[event.key].map((part) => part * 48));
    });
  }
  window.addEventListener("scroll", () => { scrolled = performance.now(); }, { passive: true });

  id("divider").addEventListener("keydown", (event) => {
    const by = event.shiftKey ? 0.1 : 0.02;
    const to = {
      ArrowLeft: look.split - by, ArrowDown: look.split - by, ArrowRight: look.split + by, ArrowUp: look.split + by,
      PageDown: look.split - 0.1, PageUp: look.split + 0.1, Home: 0, End: 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    split(to);
  });

  const actions = {
    smaller: () => zoom(nextScale(-1)), larger: () => zoom(nextScale(1)), fit,
    previous: () => step(-1), next: () => step(1),
  };
  for (const [button, action] of Object.entries(actions)) id(button).addEventListener("click", action);
  document.addEventListener("keydown", (event) => {
    if (!shown || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
    const action = actions[{ "+": "larger", "=": "larger", "-": "smaller", 0: "fit", n: "next", p: "previous" }[event.key]];
    if (!action) return;
    event.preventDefault();
    action();
  });

  for (const side of ["left", "right"]) {
    choices[side].addEventListener("change", () => {
      wanted[side] = choices[side].value;
      choose(side);
    });
  }

  // The plot

  function draw(parent, name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  function plot() {
    const svg = id("plot"), legend = id("legend");
    const curves = [["residual", "residual", shown.correlation], ["noise", "true noise", shown.noise]]
      .flatMap(([kind, name, values]) => values ? [
        { kind, along: "rows", text: `${name} →`, values: values.rows },
        { kind, along: "columns", text: `${name} ↓`, values: values.columns },
      ] : []);
    const known = curves.flatMap((curve) => curve.values).filter((value) => value !== null);
    const lags = shown.correlation.rows.length - 1;
    const low = Math.max(-1, Math.min(-0.25, Math.floor(4 * Math.min(...known, 0)) / 4));
    const x = (lag) => 32 + 296 * lag / lags, y = (value) => 10 + 146 * (1 - value) / (1 - low);
    svg.replaceChildren();
    for (const value of [-1, -0.5, 0, 0.5, 1].filter((tick) => tick >= low)) {
      draw(svg, "line", { class: value ? "grid" : "axis", x1: 32, x2: 328, y1: y(value), y2: y(value) });
      draw(svg, "text", { x: 26, y: y(value) + 4, "text-anchor": "end" }, String(value).replace("-", "−"));
    }
    for (let lag = 0; lag <= lags; lag += 2) draw(svg, "text", { x: x(lag), y: 171, "text-anchor": "middle" }, lag);
    draw(svg, "text", { x: 328, y: 186, "text-anchor": "end" }, "shift, px");
    legend.replaceChildren();
    for (const { kind, along, values } of [...curves].reverse()) { // draw the residual last, on top
      const points = values.map((value, lag) => value === null ? null : `${x(lag)},${y(Math.max(low, Math.min(1, value)))}`);
      if (points[0]) draw(svg, "path", { class: `${kind} ${along}`, d: "M" + points.filter(Boolean).join("L") });
    }
    for (const { kind, along, text } of curves) {
      const item = document.createElement("li");
      const key = draw(item, "svg", { viewBox: "0 0 24 8", "aria-hidden": "true" });
      draw(key, "line", { class: `${kind} ${along}`, x1: 0, x2: 24, y1: 4, y2: 4 });
      item.append(text);
      legend.append(item);
    }
    if (!known.length) draw(svg, "text", { x: 180, y: 60, "text-anchor": "middle" }, "the residual is constant");
    const spoken = (along) => shown.correlation[along].map((value) => value ?? "none").join(", ");
    svg.setAttribute("aria-label", `Autocorrelation at shifts of 0 to ${lags} px; along rows: ${spoken("rows")}; along columns: ${spoken("columns")}`);
  }

  // The table

  function sort(head) {
    const column = head.cellIndex, numbers = head.classList.contains("number");
    const before = head.getAttribute("aria-sort");
    const down = before === "none" ? head.dataset.first === "descending" : before === "ascending";
    const value = (line) => numbers ? line.cells[column].dataset.value : line.cells[column].textContent;
    const order = numbers ? (a, b) => a - b : new Intl.Collator(undefined, { numeric: true }).compare;
    const lines = [...body.rows].map((line) => [value(line), line]);
    const present = lines.filter(([key]) => key !== ""), absent = lines.filter(([key]) => key === "");
    present.sort(([a], [b]) => (down ? order(b, a) : order(a, b)));
    body.append(...[...present, ...absent].map(([, line]) => line));
    for (const other of table.tHead.rows[0].querySelectorAll("th")) other.setAttribute("aria-sort", "none");
    document.querySelector(".scroll").scrollTop = 0;
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    if (shown) describe();
  }

  for (const head of table.tHead.rows[0].querySelectorAll("th")) {
    head.firstChild.addEventListener("click", () => sort(head));
  }
  for (const line of body.rows) line.classList.toggle("linked", line.querySelector("a") !== null);
  body.addEventListener("click", (event) => {
    const line = event.target.closest("tr.linked");
    if (!line || String(getSelection())) return;
    event.preventDefault();
    location.hash = line.id.replace("r", "p");
    id("viewer").scrollIntoView({ block: "nearest" });
  });

  window.addEventListener("hashchange", () => show(id(location.hash.slice(1).replace("p", "r"))));
  window.addEventListener("beforeprint", () => { document.querySelector("details").open = true; });
  new ResizeObserver(() => { if (shown && room().width) layout(); }).observe(stages[0]);
  window.addEventListener("resize", () => layout());
  show(id(location.hash.slice(1).replace("p", "r")) ?? linked()[0]);
})();
