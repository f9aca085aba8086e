// Light or dark: what the user chose, or what the device says, told to the page and its colours.

import type { Settings } from "../store/settings";
import { Watched } from "../watched";

/** The colour around the page, as in tokens.css; the browser wants it apart from the styles. */
const GROUND = { dark: "#0f1216", light: "#f7f7f5" } as const;

/** Follow the settings and the device; the result says whether the page is dark. */
export function watchTheme(settings: Watched<Settings>): Watched<boolean> {
  const device = matchMedia("(prefers-color-scheme: dark)");
  const isDark = (): boolean => {
    const { theme } = settings.value;
    return theme === "system" ? device.matches : theme === "dark";
  };
  const dark = new Watched(isDark());
  const show = (): void => {
    const name = dark.value ? "dark" : "light";
    document.documentElement.dataset["theme"] = name;
    document.querySelector('meta[name="theme-color"]')?.setAttribute("content", GROUND[name]);
  };
  const update = (): void => dark.set(isDark());
  dark.watch(show);
  settings.watch(update);
  device.addEventListener("change", update);
  show();
  return dark;
}
