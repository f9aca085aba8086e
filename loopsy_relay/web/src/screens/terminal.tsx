// The terminal's screen before the terminal itself: which session, and whether it can be shown.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { usePhone, useWatched } from "./hooks";
import { BackIcon } from "./icons";
import { Refused } from "./refused";
import { back } from "./route";
import type { Machine } from "../link/machine";

type Code = typeof import("./terminal_view");

let loading: Promise<Code> | null = null;

/** Load the terminal's code, once. A failed try does not spoil the next one. */
export function loadTerminal(): Promise<Code> {
  loading ??= import("./terminal_view");
  loading.catch(() => {
    loading = null;
  });
  return loading;
}

export function TerminalScreen(props: {
  readonly nodeId: string;
  readonly session: string;
}): JSX.Element {
  const machine = usePhone().machines.find(props.nodeId);
  if (machine === null) {
    return <Instead text="This machine is not paired with this device any more." />;
  }
  return <OnMachine machine={machine} session={props.session} />;
}

function OnMachine({ machine, session }: { machine: Machine; session: string }): JSX.Element {
  const state = useWatched(machine.state);
  const [View, setView] = useState<Code["TerminalView"] | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    loadTerminal().then(
      ({ TerminalView }) => setView(() => TerminalView),
      () => setFailed(true),
    );
  }, []);
  if (state.at === "refused") {
    return (
      <Instead text="">
        <Refused machine={machine} />
      </Instead>
    );
  }
  if (View !== null) return <View machine={machine} session={session} />;
  return <Instead text={failed ? "The terminal could not be loaded. Reload the page." : ""} />;
}

function Instead({ text, children }: { text: string; children?: JSX.Element }): JSX.Element {
  return (
    <main class="screen">
      <header class="bar">
        <button type="button" class="icon-button" aria-label="Back" data-testid="back" onClick={back}>
          <BackIcon />
        </button>
        <h1 class="bar-title" />
      </header>
      <div class="scroll">
        {children}
        {text !== "" && <p class="empty quiet">{text}</p>}
      </div>
    </main>
  );
}
