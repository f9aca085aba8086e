// Starting a session: a shell with one tap, or a command somewhere under a name.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Machine } from "../link/machine";
import { lastFit } from "../session/last_fit";
import { readSession, type StartSession } from "../wire/operations";
import { usePhone, useWatched } from "./hooks";
import { BackIcon } from "./icons";
import { back, replace } from "./route";

export function NewSession({ nodeId }: { readonly nodeId: string }): JSX.Element {
  const machine = usePhone().machines.find(nodeId);
  return (
    <main class="screen" data-testid="new-session-screen">
      <header class="bar">
        <button type="button" class="icon-button" aria-label="Back" data-testid="back" onClick={back}>
          <BackIcon />
        </button>
        <h1 class="bar-title">New session</h1>
      </header>
      <div class="scroll">
        {machine === null ? (
          <p class="empty quiet">This machine is not paired with this device any more.</p>
        ) : (
          <Form machine={machine} />
        )}
      </div>
    </main>
  );
}

function Form({ machine }: { readonly machine: Machine }): JSX.Element {
  const state = useWatched(machine.state);
  const [name, setName] = useState("");
  const [cwd, setCwd] = useState("");
  const [command, setCommand] = useState("");
  const [starting, setStarting] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);

  const start = async (event: Event): Promise<void> => {
    event.preventDefault();
    setStarting(true);
    setProblem(null);
    try {
      const params = startParams(name, cwd, command);
      const session = readSession(await machine.ask("sessions.start", { ...params }));
      replace({ screen: "terminal", nodeId: machine.id, session: session.id });
    } catch (error) {
      setProblem((error as Error).message);
      setStarting(false);
    }
  };

  return (
    <form class="form" onSubmit={(event) => void start(event)}>
      <p class="quiet">
        On <strong>{machine.name}</strong>. Leave everything empty for a shell.
      </p>
      <Field label="Command" hint="Your login shell" value={command} onInput={setCommand} id="command" mono />
      <Field label="Folder" hint="Your home folder" value={cwd} onInput={setCwd} id="cwd" mono />
      <Field label="Name" hint="Chosen for you" value={name} onInput={setName} id="name" />
      {problem !== null && (
        <p class="wrong" role="alert" data-testid="start-error">
          {problem}
        </p>
      )}
      <button
        type="submit"
        class="button primary wide"
        data-testid="start-session"
        disabled={starting || state.at !== "online"}
      >
        {state.at !== "online" ? "Waiting for the machine…" : starting ? "Starting…" : "Start"}
      </button>
    </form>
  );
}

function Field(props: {
  readonly label: string;
  readonly hint: string;
  readonly value: string;
  readonly id: string;
  readonly mono?: boolean;
  readonly onInput: (value: string) => void;
}): JSX.Element {
  return (
    <label class="field">
      <span>{props.label}</span>
      <input
        class={props.mono ? "mono" : undefined}
        placeholder={props.hint}
        value={props.value}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        data-testid={`new-${props.id}`}
        onInput={(event) => props.onInput(event.currentTarget.value)}
      />
    </label>
  );
}

/** What to ask for. A command runs in a login shell, where the user's PATH is set. */
export function startParams(name: string, cwd: string, command: string): StartSession {
  const or = (text: string): string | null => (text.trim() === "" ? null : text.trim());
  const line = or(command);
  return Object.freeze({
    argv: line === null ? null : ["/bin/sh", "-lc", line],
    kind: line === null ? "shell" : "custom",
    name: or(name),
    cwd: or(cwd),
    ...lastFit(),
  });
}
