// A start under way: what it waits for, how it is taken back, why it failed.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Machine } from "../link/machine";
import { readSession, type StartSession } from "../wire/operations";
import { replace } from "./route";
import { sentence } from "./words";

/** An answer that takes longer waits for the machine's user, in milliseconds. */
const AT_ONCE = 700;

export type StartState =
  | { readonly at: "idle" }
  | { readonly at: "starting" }
  /** The machine's user has to confirm that the agent approves by itself. */
  | { readonly at: "confirming" };

export interface Start {
  readonly state: StartState;
  /** Why the last try failed, for a person. */
  readonly problem: string | null;
  begin(params: StartSession): void;
  cancel(): void;
}

/** Start sessions on `machine`; the one that was started is opened. */
export function useStart(machine: Machine): Start {
  const [state, setState] = useState<StartState>({ at: "idle" });
  const [problem, setProblem] = useState<string | null>(null);
  const waiting = useRef<AbortController | null>(null);
  // Who leaves the screen does not want the machine's user to be asked any longer.
  useEffect(() => () => waiting.current?.abort(), [machine]);

  const begin = async (params: StartSession): Promise<void> => {
    const asked = new AbortController();
    if (params.auto_approve) waiting.current = asked;
    setState({ at: "starting" });
    setProblem(null);
    const slow = setTimeout(() => {
      if (params.auto_approve) setState({ at: "confirming" });
    }, AT_ONCE);
    try {
      const answer = await machine.ask("sessions.start", { ...params }, asked.signal);
      const session = readSession(answer);
      replace({ screen: "terminal", nodeId: machine.id, session: session.id });
    } catch (error) {
      if (!asked.signal.aborted) setProblem(sentence((error as Error).message));
      setState({ at: "idle" });
    } finally {
      clearTimeout(slow);
    }
  };
  return {
    state,
    problem,
    begin: (params) => void begin(params),
    cancel: () => waiting.current?.abort(),
  };
}
