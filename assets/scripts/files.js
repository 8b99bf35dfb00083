// A file of another kind than its field takes is refused in the page's language, before gradio hears of it: gradio's
// own words are English, and they cover the field.

const noteOf = (field) => document.querySelector(`#${field.id}-only .note`);

const refuse = (event, files) => {
  const field = event.target.closest?.(".media");
  const input = field?.querySelector("input[type=file]");
  const note = input && noteOf(field);
  if (!note || !files?.length) return;
  const fitting = [...files].filter((file) => file.type.startsWith(input.accept.replace("*", "")));
  note.hidden = true;
  if (fitting.length === files.length) return;
  event.preventDefault();
  event.stopPropagation();
  event.target.dispatchEvent(new DragEvent("dragleave", { bubbles: true })); // else it still waits for the drop
  if (fitting.length) {
    const kept = new DataTransfer();
    fitting.forEach((file) => kept.items.add(file));
    input.files = kept.files;
    input.dispatchEvent(new Event("change"));
  }
  note.hidden = false;
};

document.addEventListener("change", (event) => refuse(event, event.target.files), true);
document.addEventListener("drop", (event) => refuse(event, event.dataTransfer?.files), true);

// Whatever is done next, the refusal has been read.
document.addEventListener("click", (event) => {
  if (!event.target.closest("button")) return;
  document.querySelectorAll(".media").forEach((field) => noteOf(field)?.setAttribute("hidden", ""));
});
