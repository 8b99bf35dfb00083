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

document.addEventListener("click", (event) => {
  const narrow = matchMedia("(width <= 760px)").matches;
  if (narrow && event.target.closest("#run, .example, .word, .entry")) {
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    document.getElementById("results")?.scrollIntoView({ behavior });
  }
});

document.addEventListener("click", (event) => {
  // The answer stops at its next token, and says so then.
  if (event.target.closest("#stop")) document.querySelector("#status .status")?.classList.add("stopping");
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
  const label = copy.textContent;
  copy.textContent = copy.dataset.copied;
  setTimeout(() => (copy.textContent = label), 1500);
});
