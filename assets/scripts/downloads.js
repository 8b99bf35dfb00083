// Hands a file that was just made to the browser, as a click on a link to it would.

globalThis.saveFile = (file) => {
  if (!file) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
};
