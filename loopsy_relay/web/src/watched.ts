// A value that others may watch: they are told now and after each change. Only now matters.

export class Watched<T> {
  private readonly watchers = new Set<(value: T) => void>();

  constructor(private current: T) {}

  get value(): T {
    return this.current;
  }

  set(value: T): void {
    if (Object.is(value, this.current)) return;
    this.current = value;
    // A copy: a watcher may leave, or bring others, while it is being told.
    for (const watcher of [...this.watchers]) watcher(value);
  }

  /** Tell `watcher` the value after each change, until the returned function is called. */
  watch(watcher: (value: T) => void): () => void {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }
}
