// What the page does without the server: keys that run and stop, buttons that copy an answer, and the way to the answer
// where it is out of sight.

// Each tab has its own buttons; only those of the open one are visible.
const button = (kind) =>
  [...document.querySelectorAll(`.${kind}-button`)].find((found) => found.offsetParent !== null && !found.disabled);

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    // The last words typed reach gradio with the input event, which is past by now.
    button("run")?.click();
    event.preventDefault();
  } else if (event.key === "Escape") {
    button("stop")?.click();
  }
});

const panelOf = (part) => part.closest("[role=tabpanel]");

const showAnswers = (part) => {
  if (!part || !matchMedia("(width <= 760px)").matches) return;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  panelOf(part)?.querySelector(".results")?.scrollIntoView({ behavior });
};

document.addEventListener("click", (event) => {
  showAnswers(event.target.closest(".run-button, .example, .try, .word, .entry"));
  // The answer stops at its next token, and says so then.
  const stop = event.target.closest(".stop-button");
  if (stop) panelOf(stop)?.querySelectorAll(".status.live").forEach((status) => status.classList.add("stopping"));
});

document.addEventListener("keydown", (event) => {
  const field = event.target.closest?.(".pane:not(.results)") && event.target.matches("textarea, [type=text]");
  if (field && event.key === "Enter" && !event.shiftKey) showAnswers(event.target);
});

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("button.copy");
  if (!copy) return;
  const text = copy.closest(".answer-card").querySelector(".answer-text").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return; // not allowed on plain http beyond this machine; the text can still be selected
  }
  copy.dataset.label ??= copy.textContent; // pressed again in time, it says that it was copied
  copy.textContent = copy.dataset.copied;
  setTimeout(() => (copy.textContent = copy.dataset.label), 1500);
});
