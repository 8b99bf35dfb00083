// The clip: a time in the timeline shows its place, and a clip that the browser cannot play gives way to a sentence.

document.addEventListener("click", (event) => {
  const seek = event.target.closest("button.seek");
  const clip = document.querySelector("video.clip");
  if (!seek || !clip) return;
  clip.currentTime = Number(seek.dataset.at) + 0.01; // past the end of the subtitle before
  clip.scrollIntoView({ block: "nearest" });
});

document.addEventListener(
  "error",
  (event) => {
    if (!event.target.matches?.("video.clip")) return;
    event.target.classList.add("unplayed");
    event.target.parentElement.querySelector(".unplayable").hidden = false;
  },
  true, // errors of media do not bubble
);
