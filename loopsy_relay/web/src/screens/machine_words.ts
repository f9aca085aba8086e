// A machine's state in words, and as one of the four colours of its dot.

import { explainLoss, type Ending } from "../link/ending";
import type { MachineState } from "../link/machine";

export type Dot = "good" | "busy" | "bad" | "off";

export interface Words {
  readonly dot: Dot;
  readonly short: string;
  /** What is wrong and what to try, if anything is. */
  readonly long: string | null;
}

export function describe(state: MachineState): Words {
  switch (state.at) {
    case "online":
      return { dot: "good", short: "Connected", long: null };
    case "connecting":
      return state.because === null
        ? { dot: "busy", short: "Connecting…", long: null }
        : { dot: "busy", short: "Reconnecting…", long: reason(state.because) };
    case "offline":
      return { dot: "busy", short: "Reconnecting…", long: reason(state.because) };
    case "refused":
      return { dot: "bad", short: "Not accepted", long: null };
    case "closed":
      return { dot: "off", short: "Closed", long: null };
  }
}

/** Short cuts are a part of life on a phone, and say nothing that its user could act on. */
function reason(ending: Ending): string | null {
  if (ending.how !== "lost" || ["cut", "silent", "ended"].includes(ending.why)) return null;
  return explainLoss(ending.why);
}
