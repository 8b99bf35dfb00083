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
    // Noted outside of what the server writes, which is written anew when the subtitles come.
    if (event.target.matches?.("video.clip")) event.target.closest("#video-player").dataset.unplayed = "";
  },
  true, // events of media do not bubble
);

document.addEventListener(
  "loadstart",
  (event) => {
    if (event.target.matches?.("video.clip")) delete event.target.closest("#video-player").dataset.unplayed;
  },
  true,
);
