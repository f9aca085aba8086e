// The part of the screen that is really visible: above the phone's keyboard, not below it.

/** A difference this large, in CSS pixels, is a keyboard and not a toolbar. */
const KEYBOARD = 120;

/** Keep `--view-height`, `--view-top` and `data-keyboard` of the page true. */
export function followViewport(): void {
  const view = window.visualViewport;
  if (!view) return; // tokens.css has sensible values without it
  const { style, dataset } = document.documentElement;
  const update = (): void => {
    style.setProperty("--view-height", `${view.height}px`);
    style.setProperty("--view-top", `${view.offsetTop}px`);
    dataset["keyboard"] = innerHeight - view.height > KEYBOARD ? "open" : "closed";
  };
  view.addEventListener("resize", update);
  view.addEventListener("scroll", update);
  update();
}
