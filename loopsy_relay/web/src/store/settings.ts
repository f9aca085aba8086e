// How the user likes the app, with the limits of each setting.

export type Theme = "light" | "dark" | "system";

export interface Settings {
  /** Lines that can be scrolled back to in a terminal. */
  readonly scrollback: number;
  /** Of the terminal, in CSS pixels. */
  readonly fontSize: number;
  readonly theme: Theme;
}

export const DEFAULT_SETTINGS: Settings = Object.freeze({
  scrollback: 10_000,
  fontSize: 14,
  theme: "system",
});

export const SCROLLBACK = Object.freeze({ min: 0, max: 500_000 });
export const FONT_SIZE = Object.freeze({ min: 8, max: 32 });

/** Settings from whatever an older or newer version of this page has stored. */
export function readSettings(value: unknown): Settings {
  const stored = (typeof value === "object" && value !== null ? value : {}) as Partial<
    Record<keyof Settings, unknown>
  >;
  return Object.freeze({
    scrollback: within(stored.scrollback, SCROLLBACK, DEFAULT_SETTINGS.scrollback),
    fontSize: within(stored.fontSize, FONT_SIZE, DEFAULT_SETTINGS.fontSize),
    theme: stored.theme === "light" || stored.theme === "dark" ? stored.theme : "system",
  });
}

/** The whole number nearest to `value` inside the limits, or `otherwise` if it is none. */
export function within(
  value: unknown,
  { min, max }: { readonly min: number; readonly max: number },
  otherwise: number,
): number {
  if (typeof value !== "number" || !Number.isFinite(value)) return otherwise;
  return Math.min(max, Math.max(min, Math.round(value)));
}
