// A link that reopens the task with its fields. It goes into the address bar too: a browser lets a page write to the
// clipboard only on https and on its own machine.

globalThis.copyLink = async (about, values) => {
  const fields = Object.fromEntries(about.names.map((name, place) => [name, values[place]]));
  // Nothing else of the address: that of a private Space has its visitor's token.
  const link = new URL(location.pathname, location.href);
  link.searchParams.set("tab", "ask");
  for (const name of about.needs[fields.task] ?? []) {
    const value = fields[name] === true ? "1" : fields[name];
    if (value) link.searchParams.set(name, value);
  }
  history.replaceState(history.state, "", link);
  try {
    await navigator.clipboard.writeText(link.href);
  } catch {
    // The address bar has it.
  }
  return values;
};
