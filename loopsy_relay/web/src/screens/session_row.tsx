// One session in the list: opens with a tap; ends, or goes away, through its menu.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Machine } from "../link/machine";
import type { SessionInfo } from "../wire/operations";
import { age, ago } from "./age";
import { Confirm, Dialog } from "./dialog";
import { AgentIcon, EyeIcon, MoreIcon, ShellIcon } from "./icons";
import { go, replace, route } from "./route";
import { sentence } from "./words";

type Asked = "nothing" | "menu" | "end" | "remove";

export function SessionRow(props: {
  readonly machine: Machine;
  readonly session: SessionInfo;
  readonly now: number;
  readonly mayType: boolean;
  readonly current: boolean;
}): JSX.Element {
  const { machine, session } = props;
  const [asked, setAsked] = useState<Asked>("nothing");
  const [problem, setProblem] = useState<string | null>(null);
  const agent = session.kind !== "shell" && session.kind !== "custom";
  const close = (): void => setAsked("nothing");
  const act = (op: "sessions.end" | "sessions.remove"): void => {
    setProblem(null);
    machine.ask(op, { session: session.id }).catch((error: Error) => setProblem(sentence(error.message)));
  };
  const open = (): void => {
    const to = { screen: "terminal", nodeId: machine.id, session: session.id } as const;
    // Beside an open terminal a tap changes the terminal; Back should still lead to the list.
    if (route.value.screen === "sessions") go(to);
    else replace(to);
  };
  return (
    <li class="row-item">
      <div class={props.current ? "row current" : "row"} data-testid="session-row" data-session={session.id}>
        <button
          type="button"
          class="row-open"
          aria-current={props.current ? "page" : undefined}
          onClick={open}
        >
          <span class={session.alive ? "kind" : "kind over"}>
            {agent ? <AgentIcon /> : <ShellIcon />}
          </span>
          <span class="row-text">
            <span class="row-name">
              <bdi>{session.name}</bdi>
              {agent && <span class="tag">{session.kind}</span>}
              {session.autoApprove && (
                <span class="tag warn" title="Its agent approves by itself">
                  auto<span class="wide-only">-approve</span>
                </span>
              )}
            </span>
            <span class={session.lost === null ? "row-title quiet" : "row-title wrong"}>
              <bdi>{subtitle(session)}</bdi>
            </span>
          </span>
          <span class="row-facts quiet">
            {session.alive ? (
              <span>{age(session.createdAt, props.now)}</span>
            ) : (
              <>
                <span data-testid="exit">{exit(session)}</span>
                {session.endedAt !== null && <span>{ago(session.endedAt, props.now)}</span>}
              </>
            )}
            {session.viewers > 0 && (
              <span class="viewers" aria-label={`${session.viewers} looking at it`}>
                <EyeIcon />
                {session.viewers}
              </span>
            )}
          </span>
        </button>
        {props.mayType && (
          <button
            type="button"
            class="icon-button"
            aria-label={`More for ${session.name}`}
            data-testid="session-menu"
            onClick={() => setAsked("menu")}
          >
            <MoreIcon />
          </button>
        )}
      </div>
      {problem !== null && (
        <p class="wrong small" role="alert">
          {problem}
        </p>
      )}
      {asked === "menu" && (
        <Dialog label={session.name} onClose={close}>
          <h2>
            <bdi>{session.name}</bdi>
          </h2>
          <p class="quiet small break">{session.argv.join(" ")}</p>
          <p class="quiet small break">{session.cwd}</p>
          <div class="dialog-actions">
            <button type="button" class="button" onClick={close}>
              Cancel
            </button>
            {session.alive ? (
              <button
                type="button"
                class="button danger"
                data-testid="end-session"
                onClick={() => setAsked("end")}
              >
                End
              </button>
            ) : (
              <button
                type="button"
                class="button danger"
                data-testid="remove-session"
                onClick={() => setAsked("remove")}
              >
                Remove
              </button>
            )}
          </div>
        </Dialog>
      )}
      {asked === "end" && (
        <Confirm
          title={`End ${session.name}?`}
          text="Its program is ended for everybody who looks at it. Its last screen stays until it is removed."
          action="End"
          onClose={close}
          onConfirm={() => act("sessions.end")}
        />
      )}
      {asked === "remove" && (
        <Confirm
          title={`Remove ${session.name}?`}
          text="Its last screen and its scrollback are deleted."
          action="Remove"
          onClose={close}
          onConfirm={() => act("sessions.remove")}
        />
      )}
    </li>
  );
}

function subtitle(session: SessionInfo): string {
  if (session.lost !== null) return `lost: ${session.lost}`;
  return session.title || session.argv.join(" ") || session.cwd;
}

/** How a program ended, in the words of its machine. */
export function exit(session: {
  readonly exitCode: number | null;
  readonly lost?: string | null;
}): string {
  const { exitCode, lost } = session;
  if (lost) return "lost";
  if (exitCode === null) return "ended";
  return exitCode < 0 ? `signal ${-exitCode}` : `exit ${exitCode}`;
}
