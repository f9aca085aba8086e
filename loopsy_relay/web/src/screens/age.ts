// How long ago something was, as short as it can be said.

/** `now` and `then` in seconds since 1970. A clock that is a little behind makes it "now". */
export function age(then: number, now: number): string {
  const seconds = Math.max(0, now - then);
  if (seconds < 60) return "now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** The same in a sentence: "now", "5 min ago". */
export function ago(then: number, now: number): string {
  const short = age(then, now);
  return short === "now" ? short : `${short} ago`;
}
