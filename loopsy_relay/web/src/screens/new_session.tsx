// Starting a session: a shell, an agent or a command, somewhere, under a name.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Machine } from "../link/machine";
import { lastFit } from "../session/last_fit";
import { readKinds, type KindList, type StartSession } from "../wire/operations";
import { usePhone, useWatched } from "./hooks";
import { BackIcon } from "./icons";
import { Commands, Kinds } from "./kinds";
import { back } from "./route";
import { useStart } from "./starting";

/** What every machine can start, until it has told what else it can. */
const AT_LEAST: KindList = Object.freeze({
  kinds: Object.freeze([{ name: "shell", title: "Shell", installed: true, autoApprove: false }]),
  commands: Object.freeze([]),
});

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
  const online = state.at === "online";
  const { kinds, commands } = useKinds(machine, online);
  const [kind, setKind] = useState("shell");
  const [name, setName] = useState("");
  const [cwd, setCwd] = useState("");
  const [line, setLine] = useState("");
  const [approve, setApprove] = useState(false);
  const start = useStart(machine);

  const chosen = kinds.find((each) => each.name === kind);
  const mayApprove = online && state.hello.grants.includes("approve");
  const canApprove = mayApprove && chosen !== undefined && chosen.autoApprove;
  const idle = online && start.state.at === "idle";
  const begin = (what: Partial<Wanted>): void =>
    start.begin(startParams({ kind, line, name, cwd, approve: approve && canApprove, ...what }));

  if (start.state.at === "confirming") {
    return <Confirming machine={machine} onCancel={start.cancel} />;
  }
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        begin({});
      }}
    >
      <p class="quiet">
        On <strong>{machine.name}</strong>
      </p>
      <Commands
        commands={commands}
        disabled={!idle}
        onStart={(command) => begin({ kind: "custom", command, approve: false })}
      />
      <Kinds kinds={kinds} machine={machine.name} chosen={kind} onChoose={setKind} />
      {kind === "custom" && (
        <Field label="Command" hint="make test" value={line} onInput={setLine} id="command" mono />
      )}
      {canApprove && (
        <label class="setting switch-setting">
          <span class="setting-text">
            <span>Approve everything by itself</span>
            <span class="quiet small">
              It will run commands and change files on {machine.name} without asking anybody.
            </span>
          </span>
          <input
            type="checkbox"
            role="switch"
            class="switch"
            data-testid="auto-approve"
            checked={approve}
            onChange={(event) => setApprove(event.currentTarget.checked)}
          />
        </label>
      )}
      <Field label="Name" hint="Chosen for you" value={name} onInput={setName} id="name" />
      <Field label="Folder" hint="Your home folder" value={cwd} onInput={setCwd} id="cwd" mono />
      {start.problem !== null && (
        <p class="wrong" role="alert" data-testid="start-error">
          {start.problem}
        </p>
      )}
      <button
        type="submit"
        class="button primary wide"
        data-testid="start-session"
        disabled={!idle || (kind === "custom" && line.trim() === "")}
      >
        {!online ? "Waiting for the machine…" : start.state.at === "starting" ? "Starting…" : "Start"}
      </button>
    </form>
  );
}

function Confirming(props: {
  readonly machine: Machine;
  readonly onCancel: () => void;
}): JSX.Element {
  const { name } = props.machine;
  return (
    <div class="form" role="status" data-testid="confirming">
      <h2>
        <span class="dot busy" /> Waiting for {name}’s user to confirm
      </h2>
      <p class="quiet">
        An agent that approves everything by itself has to be allowed once, at the machine. There,
        run <code>loopsy approve</code>
      </p>
      <button type="button" class="button wide" data-testid="cancel-start" onClick={props.onCancel}>
        Cancel
      </button>
    </div>
  );
}

/** What the machine can start, asked once for each connection. */
function useKinds(machine: Machine, online: boolean): KindList {
  const [kinds, setKinds] = useState(AT_LEAST);
  useEffect(() => {
    if (!online) return undefined;
    const gone = new AbortController();
    machine
      .ask("kinds.list", {}, gone.signal)
      .then((result) => setKinds(readKinds(result)))
      .catch((error: Error) => {
        // A shell can be started all the same.
        if (!gone.signal.aborted) console.warn(`Loopsy: the kinds are not known. ${error.message}`);
      });
    return () => gone.abort();
  }, [machine, online]);
  return kinds;
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

/** What the user chose and filled in. */
export interface Wanted {
  readonly kind: string;
  /** What to run, as typed into a shell, where the kind is "custom". */
  readonly line: string;
  /** Or the custom command of this name. */
  readonly command?: string;
  readonly name: string;
  readonly cwd: string;
  readonly approve: boolean;
}

/** What to ask for. A line runs in a login shell, where the user's PATH is set. */
export function startParams({ kind, line, command, name, cwd, approve }: Wanted): StartSession {
  const or = (text: string): string | null => (text.trim() === "" ? null : text.trim());
  const typed = kind === "custom" && command === undefined;
  return Object.freeze({
    argv: typed ? ["/bin/sh", "-lc", line.trim()] : null,
    kind,
    name: or(name),
    cwd: or(cwd),
    command: command ?? null,
    auto_approve: approve,
    ...lastFit(),
  });
}
