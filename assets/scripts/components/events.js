// In a component whose HTML the server writes: a click on a part with data-event triggers the event of that name.

let pressed = null;

element.addEventListener("click", (event) => {
  const part = event.target.closest("[data-event]");
  if (!part) return;
  pressed = part.dataset.entry;
  trigger(part.dataset.event, { ...part.dataset });
});

watch("value", () => {
  // The newest of what was asked is the last in a list that may be longer than its place.
  const list = element.querySelector(".thread ol");
  if (list && !pressed) list.scrollTop = list.scrollHeight;
  // What was pressed was written anew, and lost the focus by that.
  if (pressed && document.activeElement === document.body) element.querySelector(`[data-entry="${pressed}"]`)?.focus();
  pressed = null;
});
