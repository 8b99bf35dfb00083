// What the page does without the server: keys that run and stop, buttons that copy an answer, and keeping the answer in
// sight and the focus in place while it comes.

// Each tab has its own buttons; only those of the open one are visible.
const button = (kind) =>
  [...document.querySelectorAll(`.${kind}-button`)].find((found) => found.offsetParent !== null && !found.disabled);

// Keys by which an input method chooses characters mean nothing else.
const composing = (event) => event.isComposing || event.keyCode === 229;

// What makes a file.
const files = "#exports, .downloads, #batch-pack";

// Escape closes them first: lists, dialogs, and what gradio lays over the page.
const inFront = (event) =>
  event.target.closest?.("[role=combobox], [role=dialog], dialog") ||
  document.fullscreenElement ||
  document.querySelector(".block.fullscreen, .api-docs");

document.addEventListener("keydown", (event) => {
  if (composing(event)) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    // The last words typed reach gradio with the input event, which is past by now.
    button("run")?.click();
    event.preventDefault();
  } else if (event.key === "Escape") {
    if (!inFront(event)) button("stop")?.click();
  } else if (event.repeat && event.target.closest?.(`.stop-button, ${files}`)) {
    event.preventDefault(); // Enter, still held down: on what was Run, or on what has made its file
  }
});

// One press is one file: the second click of a double one is not another.
addEventListener("click", (event) => event.detail > 1 && event.target.closest?.(files) && event.stopPropagation(), true);

const tabOf = (part) => part.closest("[role=tabpanel]");

// The latest run: the pane of its answer, whether that is kept in sight, and whether the keyboard began it.
let run = null;

const show = (pane) => {
  const { top } = pane.getBoundingClientRect();
  if (top >= 0 && top < innerHeight / 3) return;
  const tab = tabOf(pane);
  // Above a short answer the page would else end before the answer is at the top.
  tab.style.minHeight = `${top - tab.getBoundingClientRect().top + innerHeight}px`;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  pane.scrollIntoView({ behavior });
};

// Who runs by the keyboard goes on by it: Run cannot be pressed meanwhile, Stop cannot afterwards, and words are rewritten.
const keepFocus = () => {
  if (!run.keyed || (document.activeElement !== document.body && !document.activeElement.disabled)) return;
  (button("stop") ?? button("run"))?.focus({ preventScroll: true });
};

// An example fills in the form above the answer, and earlier questions are listed there.
const changes = new MutationObserver(() => {
  if (run.shown) show(run.pane);
  keepFocus();
});

const begin = (part, keyed) => {
  // What was said of an earlier failure is not about this run.
  document.querySelectorAll("button.toast-close.error").forEach((close) => close.click());
  const pane = tabOf(part).querySelector(".results");
  // It is emptied and filled anew; without its height the page would jump up and down.
  pane.style.minHeight = `${pane.offsetHeight}px`;
  run = { pane, keyed, shown: true };
  changes.disconnect();
  changes.observe(tabOf(pane), { childList: true, subtree: true });
  show(pane);
};

const end = () => {
  keepFocus();
  changes.disconnect();
  run = null;
};

// Gradio says it when a run is over.
document.addEventListener("answered", () => {
  for (const pane of document.querySelectorAll(".results")) {
    if (tabOf(pane).querySelector(".stop-button")) continue; // another one has taken over, or goes on in another tab
    pane.style.minHeight = "";
    if (run?.pane === pane) end();
  }
});

// Whoever scrolls, or does something else, is left alone.
for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"]) {
  addEventListener(kind, () => run && (run.shown = false), { capture: true, passive: true });
}

document.addEventListener("click", (event) => {
  const starter = event.target.closest(".run-button, .example, .try, .word");
  if (starter) begin(starter, event.detail === 0);
  const entry = event.target.closest(".entry");
  if (entry) show(tabOf(entry).querySelector(".results"));
  // The answer stops at its next token, and says so then.
  const stop = event.target.closest(".stop-button");
  if (stop) tabOf(stop).querySelectorAll(".status.live").forEach((status) => status.classList.add("stopping"));
});

document.addEventListener("keydown", (event) => {
  const field = event.target.closest?.(".pane:not(.results)") && event.target.matches("textarea, [type=text]");
  if (field && event.key === "Enter" && !event.shiftKey && !composing(event)) begin(event.target, true);
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
