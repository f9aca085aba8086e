// Fingers on a terminal: a drag scrolls back and pans what is larger than the screen.
//
// xterm 6 leaves touch to the page. A drag moves the frame around the terminal first; what is left
// of it scrolls the terminal: its own scrollback, or the program's screen through the mouse wheel.

import type { Terminal } from "@xterm/xterm";

/** A finger that moved less than this many CSS pixels has tapped. */
const SLOP = 8;
/** How much of its speed a flick keeps for each millisecond. */
const FRICTION = 0.997;
const SLOWEST = 0.02;

/** Follow touches on `frame`, until the returned function is called. */
export function followTouch(frame: HTMLElement, terminal: Terminal): () => void {
  let last: { x: number; y: number; at: number } | null = null;
  let axis: "x" | "y" | null = null;
  let speed = 0;
  let rest = 0;
  let flight = 0;

  const begin = (event: TouchEvent): void => {
    cancelAnimationFrame(flight);
    const touch = event.touches.length === 1 ? event.touches[0] : undefined;
    last = touch ? { x: touch.clientX, y: touch.clientY, at: event.timeStamp } : null;
    axis = null;
    speed = 0;
    rest = 0;
  };

  const move = (event: TouchEvent): void => {
    const touch = event.touches[0];
    if (!last || !touch || event.touches.length !== 1) return;
    const dx = last.x - touch.clientX;
    const dy = last.y - touch.clientY;
    if (axis === null) {
      if (Math.hypot(dx, dy) < SLOP) return;
      axis = Math.abs(dx) > Math.abs(dy) ? "x" : "y";
    }
    event.preventDefault(); // it is no tap any more, and the page itself must not move
    if (axis === "x") frame.scrollLeft += dx;
    else scroll(dy, touch.clientX, touch.clientY);
    const passed = Math.max(1, event.timeStamp - last.at);
    speed = axis === "y" ? 0.7 * (dy / passed) + 0.3 * speed : 0;
    last = { x: touch.clientX, y: touch.clientY, at: event.timeStamp };
  };

  const end = (event: TouchEvent): void => {
    const from = last;
    last = null;
    if (!from || axis !== "y" || event.timeStamp - from.at > 60) return;
    let before = performance.now();
    const glide = (now: number): void => {
      const passed = now - before;
      before = now;
      scroll(speed * passed, from.x, from.y);
      speed *= FRICTION ** passed;
      if (Math.abs(speed) > SLOWEST) flight = requestAnimationFrame(glide);
    };
    flight = requestAnimationFrame(glide);
  };

  const scroll = (dy: number, x: number, y: number): void => {
    const before = frame.scrollTop;
    frame.scrollTop += dy;
    const left = dy - (frame.scrollTop - before);
    if (Math.abs(left) < 0.01) return;
    rest += left;
    const cell = frame.querySelector(".xterm-screen");
    const line = cell ? cell.getBoundingClientRect().height / terminal.rows : 16;
    const lines = Math.trunc(rest / line);
    if (lines === 0) return;
    rest -= lines * line;
    if (terminal.buffer.active.type === "normal" && terminal.modes.mouseTrackingMode === "none") {
      terminal.scrollLines(lines);
      return;
    }
    // Programs that own the screen get wheel events; xterm makes reports or arrow keys of them.
    for (let i = 0; i < Math.abs(lines); i++) {
      cell?.dispatchEvent(
        new WheelEvent("wheel", {
          deltaY: Math.sign(lines),
          deltaMode: WheelEvent.DOM_DELTA_LINE,
          clientX: x,
          clientY: y,
          bubbles: true,
          cancelable: true,
        }),
      );
    }
  };

  frame.addEventListener("touchstart", begin, { passive: true });
  frame.addEventListener("touchmove", move, { passive: false });
  frame.addEventListener("touchend", end);
  frame.addEventListener("touchcancel", end);
  return () => {
    cancelAnimationFrame(flight);
    frame.removeEventListener("touchstart", begin);
    frame.removeEventListener("touchmove", move);
    frame.removeEventListener("touchend", end);
    frame.removeEventListener("touchcancel", end);
  };
}
