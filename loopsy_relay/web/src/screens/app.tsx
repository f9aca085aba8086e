// Which screen is shown: pairing first, then what the address says; on wide screens two at once.

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { Phone } from "../phone";
import { PhoneContext, useWatched, useWide } from "./hooks";
import { LoopIcon } from "./icons";
import { NewSession } from "./new_session";
import { Pair } from "./pair";
import { route, type Route } from "./route";
import { Sessions } from "./sessions";
import { SettingsScreen } from "./settings";
import { loadTerminal, TerminalScreen } from "./terminal";
import { Welcome } from "./welcome";

export function App({ phone }: { readonly phone: Phone }): JSX.Element {
  return (
    <PhoneContext.Provider value={phone}>
      <Shown phone={phone} />
    </PhoneContext.Provider>
  );
}

function Shown({ phone }: { readonly phone: Phone }): JSX.Element {
  const pairing = useWatched(phone.pairing);
  const machines = useWatched(phone.machines.list);
  const shown = useWatched(route);
  const wide = useWide();
  useEffect(() => {
    // The terminal is large; it comes while the user looks at the list.
    if (machines.length > 0) void loadTerminal();
  }, [machines.length]);

  if (pairing !== null) return <Pair pairing={pairing} />;
  if (machines.length === 0) return <Welcome />;
  if (!wide) return shown.screen === "sessions" ? <Sessions /> : <Pane shown={shown} />;
  return (
    <div class="beside">
      <Sessions current={shown.screen === "terminal" ? shown.session : null} />
      {shown.screen === "sessions" ? <Nothing /> : <Pane shown={shown} />}
    </div>
  );
}

function Pane({ shown }: { readonly shown: Route }): JSX.Element {
  switch (shown.screen) {
    case "terminal":
      // Another session is another terminal, not the same one with other content.
      return <TerminalScreen key={`${shown.nodeId}/${shown.session}`} {...shown} />;
    case "new":
      return <NewSession nodeId={shown.nodeId} />;
    case "settings":
      return <SettingsScreen />;
    case "sessions":
      return <Nothing />;
  }
}

function Nothing(): JSX.Element {
  return (
    <main class="centre faint">
      <LoopIcon />
      <p class="quiet">Choose a session, or start a new one.</p>
    </main>
  );
}
