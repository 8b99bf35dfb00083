// The tabs that ask about many pictures: the way to the answers where they are out of sight, and that Stop was heard.

document.addEventListener("click", (event) => {
  const bench = event.target.closest(".run-bench");
  if (!bench) return;
  if (event.target.closest(".run-button") && matchMedia("(width <= 760px)").matches) {
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    bench.querySelector(".run-results").scrollIntoView({ behavior });
  }
  if (event.target.closest(".stop-button")) bench.querySelector(".status")?.classList.add("stopping");
});
