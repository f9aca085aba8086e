// Who came and who left, between two lists of a session's viewers.

/** In the words of a notice; null if nobody did. Names may come several times. */
export function whatChanged(before: readonly string[], after: readonly string[]): string | null {
  const joined = without(after, before).map((name) => `${called(name)} joined`);
  const left = without(before, after).map((name) => `${called(name)} left`);
  return [...joined, ...left].join(", ") || null;
}

/** How a viewer is called that may have no name. */
export function called(name: string): string {
  return name || "Somebody";
}

/** Those of `names` that are left over when each of `others` has taken one of its kind away. */
function without(names: readonly string[], others: readonly string[]): string[] {
  const taken = [...others];
  return names.filter((name) => {
    const at = taken.indexOf(name);
    if (at >= 0) taken.splice(at, 1);
    return at < 0;
  });
}
