// What machines say, put so that it can stand on a screen.

/** A message as a sentence: it begins with a capital and ends like one. */
export function sentence(message: string): string {
  const text = message.trim();
  if (text === "") return "";
  const [first = "", ...rest] = text;
  return first.toUpperCase() + rest.join("") + (/[.!?…]$/.test(text) ? "" : ".");
}
