// Drawing with WebGL where it works and draws in the right size; xterm's DOM renderer elsewhere.

import { WebglAddon } from "@xterm/addon-webgl";
import type { Terminal } from "@xterm/xterm";

/** Draw `terminal` with WebGL if that is possible, until the returned function is called. */
export function preferWebgl(terminal: Terminal, element: HTMLElement): () => void {
  let left = false;
  whenDevicePixelsAreTrue(element, () => {
    if (left) return;
    try {
      const webgl = new WebglAddon();
      // Phones take the context away from pages in the background; the DOM renderer goes on.
      webgl.onContextLoss(() => webgl.dispose());
      terminal.loadAddon(webgl);
    } catch {
      // There is no WebGL here; xterm's own DOM renderer is in place already.
    }
  });
  return () => {
    left = true;
  };
}

/**
 * The WebGL renderer sizes its canvas by what a ResizeObserver says in device pixels. Browsers that
 * pretend to be a phone report those of the real screen, and text comes out twice as large.
 */
function whenDevicePixelsAreTrue(element: HTMLElement, then: () => void): void {
  const observer = new ResizeObserver(([entry]) => {
    observer.disconnect();
    const device = entry?.devicePixelContentBoxSize?.[0]?.inlineSize;
    const page = entry?.contentRect.width;
    const told = device && page ? device / page : devicePixelRatio;
    if (Math.abs(told / devicePixelRatio - 1) < 0.05) then();
  });
  try {
    observer.observe(element, { box: "device-pixel-content-box" });
  } catch {
    then(); // Safari does not report device pixels, and xterm does without them there
  }
}
