// A file of another kind or size than its field takes is refused in the page's language, before gradio hears of it:
// gradio's own words are English, cover the field and name another limit, and one file would keep out all others.

const noteOf = (field, name) => document.querySelector(`#${field.id}-${name} .note`);
const openField = () => [...document.querySelectorAll(".media")].find((field) => field.offsetParent);

const put = (files, input) => {
  input.files = files;
  input.dispatchEvent(new Event("change"));
};

const refuse = (event, files) => {
  const field = event.target.closest?.(".media");
  const input = field?.querySelector("input[type=file]");
  const [otherKind, tooLarge] = ["only", "too-large"].map((name) => input && noteOf(field, name));
  if (!tooLarge || !files?.length) return;
  const all = [...files];
  const ofKind = all.filter((file) => file.type.startsWith(input.accept.replace("*", "")));
  const fitting = ofKind.filter((file) => file.size <= tooLarge.dataset.most);
  otherKind.hidden = tooLarge.hidden = true;
  if (fitting.length === all.length) return;
  event.preventDefault();
  event.stopPropagation();
  event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true })); // else it still waits for the drop
  if (fitting.length) {
    const kept = new DataTransfer();
    fitting.forEach((file) => kept.items.add(file));
    put(kept.files, input);
  }
  otherKind.hidden = ofKind.length === all.length;
  tooLarge.hidden = fitting.length === ofKind.length;
};

document.addEventListener("change", (event) => refuse(event, event.target.files), true);
document.addEventListener("drop", (event) => refuse(event, event.dataTransfer?.files), true);

// Whatever is done next, the refusal has been read.
document.addEventListener("click", (event) => {
  if (!event.target.closest("button")) return;
  for (const field of document.querySelectorAll(".media"))
    for (const name of ["only", "too-large", "no-device"]) noteOf(field, name)?.setAttribute("hidden", "");
});

// Gradio says nothing where a camera or the clipboard is not there, or not allowed.
addEventListener("unhandledrejection", (event) => {
  const isRefusal = ["NotAllowedError", "NotFoundError", "NotReadableError"].includes(event.reason?.name);
  const field = openField();
  const note = field && noteOf(field, "no-device");
  if (!isRefusal || !note) return;
  event.preventDefault();
  note.hidden = false;
});

// A file that is pasted, or falls beside a field, is for the open tab: a browser would leave the page and show it.
const take = (event, transfer) => {
  const input = openField()?.querySelector("input[type=file]");
  if (event.defaultPrevented || !input || !transfer?.files.length) return;
  event.preventDefault();
  put(transfer.files, input);
};

document.addEventListener("paste", (event) => {
  // What is copied from a document may be a picture of the text beside it.
  const typed = event.target.matches?.("input, textarea") && event.clipboardData?.types.includes("text/plain");
  if (!typed) take(event, event.clipboardData);
});
document.addEventListener("dragover", (event) => {
  if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
});
document.addEventListener("drop", (event) => take(event, event.dataTransfer));
