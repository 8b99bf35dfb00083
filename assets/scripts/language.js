// Tells the server which language the page is shown in, so that what it writes later is in the same one: gradio's own
// choice may differ from what the browser asks for, and its settings change it.

const noteLanguage = () => {
  const shown = document.getElementById("page-language")?.textContent.trim();
  if (!/^[a-z]{2}$/.test(shown ?? "")) return;
  document.documentElement.lang = shown; // gradio's own page says "en" whatever it shows
  if (document.cookie.includes(`page_language=${shown}`)) return;
  // A Space is shown in a frame of another site, where no other cookie is kept.
  const kept = location.protocol === "https:" ? "SameSite=None; Secure; Partitioned" : "SameSite=Lax";
  document.cookie = `page_language=${shown}; path=/; ${kept}`;
};

new MutationObserver(noteLanguage).observe(document.body, { subtree: true, childList: true, characterData: true });
noteLanguage();
