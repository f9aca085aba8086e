// The list of sessions, machine by machine, live.

import type { JSX } from "preact";
import type { Machine } from "../link/machine";
import { usePhone, useNow, useWatched } from "./hooks";
import { LoopIcon, PlusIcon, SettingsIcon } from "./icons";
import { describe } from "./machine_words";
import { Refused } from "./refused";
import { go } from "./route";
import { SessionRow } from "./session_row";

/** `current` is the session that is open beside the list. */
export function Sessions({ current = null }: { readonly current?: string | null }): JSX.Element {
  const phone = usePhone();
  const machines = useWatched(phone.machines.list);
  return (
    <main class="screen list" data-testid="sessions">
      <header class="bar">
        <LoopIcon />
        <h1 class="bar-title">Loopsy</h1>
        <button
          type="button"
          class="icon-button"
          aria-label="Settings"
          data-testid="settings"
          onClick={() => go({ screen: "settings" })}
        >
          <SettingsIcon />
        </button>
      </header>
      <div class="scroll">
        {machines.map((machine) => (
          <MachineSection key={machine.id} machine={machine} current={current} />
        ))}
      </div>
    </main>
  );
}

function MachineSection(props: {
  readonly machine: Machine;
  readonly current: string | null;
}): JSX.Element {
  const { machine } = props;
  const state = useWatched(machine.state);
  const sessions = useWatched(machine.sessions);
  const now = useNow();
  const words = describe(state);
  const mayType = state.at === "online" && state.hello.grants.includes("type");
  return (
    <section class="machine" aria-label={machine.name} data-testid="machine" data-state={state.at}>
      <header class="machine-head">
        <span class={`dot ${words.dot}`} />
        <div class="machine-name">
          <h2>{machine.name}</h2>
          <p class="quiet small">{words.short}</p>
        </div>
        {mayType && (
          <button
            type="button"
            class="button primary compact"
            data-testid="new-session"
            onClick={() => go({ screen: "new", nodeId: machine.id })}
          >
            <PlusIcon />
            New session
          </button>
        )}
      </header>
      {state.at === "refused" && <Refused machine={machine} />}
      {words.long !== null && (
        <p class="banner small" role="status">
          {words.long}
          <button type="button" class="button plain" onClick={() => machine.wake()}>
            Try now
          </button>
        </p>
      )}
      {sessions !== null && sessions.length > 0 && (
        <ul class={state.at === "online" ? "rows" : "rows stale"}>
          {sessions.map((session) => (
            <SessionRow
              key={session.id}
              machine={machine}
              session={session}
              now={now}
              mayType={mayType}
              current={session.id === props.current}
            />
          ))}
        </ul>
      )}
      {sessions !== null && sessions.length === 0 && state.at === "online" && (
        <p class="empty quiet">
          No sessions yet.
          {mayType && " Start one here, or on the machine with "}
          {mayType && <code>loopsy shell</code>}
        </p>
      )}
      {sessions === null && state.at === "connecting" && <Waiting />}
    </section>
  );
}

/** The place of rows that are on their way. */
function Waiting(): JSX.Element {
  return (
    <div class="rows" aria-hidden="true">
      <div class="row ghost" />
      <div class="row ghost" />
    </div>
  );
}
