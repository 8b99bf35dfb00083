// An answer that can be explored without the server: its words by the keyboard, and the things of its table in the
// drawing. A drawing is any .drawing that holds a picture (.drawn img) and rows with data-place.

document.addEventListener("keydown", (event) => {
  const word = event.target.closest?.("span.word");
  if (!word || event.ctrlKey || event.metaKey || event.altKey) return;
  const words = [...word.parentElement.querySelectorAll("span.word")];
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  if (event.key === "Enter" || event.key === " ") {
    word.click();
  } else if (event.key in steps) {
    // One word at a time is a stop of the Tab key.
    const next = words[(words.indexOf(word) + steps[event.key] + words.length) % words.length];
    word.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  } else {
    return;
  }
  event.preventDefault();
});

// Where the pixels of a picture are in its element, which may be wider or higher than they are.
const frame = (image) => {
  const box = image.getBoundingClientRect();
  const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
  const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
  return { left: box.left + (box.width - width) / 2, top: box.top + (box.height - height) / 2, width, height };
};

const placeOf = (row) => {
  const [left, top, width, height] = row.dataset.place.split(" ").map(Number);
  return { left, top, width, height };
};

const unmark = () => {
  document.querySelectorAll(".marks").forEach((layer) => layer.remove());
  document.querySelectorAll("tr.marked").forEach((row) => row.classList.remove("marked"));
};

// What is pointed at in the drawing itself stays in its light.
const mark = (row, isPointedAt) => {
  if (row.classList.contains("marked")) return;
  unmark();
  const image = row.closest(".drawing")?.querySelector(".drawn img");
  if (!image?.naturalWidth) return;
  row.classList.add("marked");
  const ground = image.closest(".drawn");
  const origin = ground.getBoundingClientRect();
  const { left, top, width, height } = frame(image);
  const layer = document.createElement("div");
  layer.className = isPointedAt ? "marks" : "marks dimmed";
  Object.assign(layer.style, {
    left: `${left - origin.left - ground.clientLeft}px`,
    top: `${top - origin.top - ground.clientTop}px`,
    width: `${width}px`,
    height: `${height}px`,
  });
  const thing = document.createElement("div");
  thing.className = "spot";
  for (const [side, part] of Object.entries(placeOf(row))) thing.style[side] = `${100 * part}%`;
  thing.style.setProperty("--colour", row.style.getPropertyValue("--colour"));
  layer.append(thing);
  ground.append(layer);
};

// The smallest thing under a point of the picture, since the larger ones can be pointed at beside it.
const rowAt = (image, x, y) => {
  const { left, top, width, height } = frame(image);
  const [across, down] = [(x - left) / width, (y - top) / height];
  const area = (row) => placeOf(row).width * placeOf(row).height;
  const rows = [...(image.closest(".drawing")?.querySelectorAll("tr[data-place]") ?? [])].filter((row) => {
    const place = placeOf(row);
    return (
      across >= place.left &&
      across <= place.left + place.width &&
      down >= place.top &&
      down <= place.top + place.height
    );
  });
  return rows.sort((one, other) => area(one) - area(other))[0];
};

const point = (target, x, y) => {
  const image = target.closest?.(".drawn img");
  const row = image
    ? rowAt(image, x, y)
    : (target.closest?.("tr[data-place]") ?? document.activeElement?.closest("tr[data-place]"));
  if (row) mark(row, Boolean(image));
  else unmark();
};

document.addEventListener("pointermove", (event) => point(event.target, event.clientX, event.clientY));
document.addEventListener("focusin", (event) => point(event.target, 0, 0));
document.addEventListener("focusout", unmark);
addEventListener("resize", unmark);
