// What can be started: kinds of sessions to choose from, and commands that start with one tap.

import type { JSX } from "preact";
import type { CommandInfo, KindInfo } from "../wire/operations";
import { AgentIcon, PlayIcon, ShellIcon } from "./icons";

export function Kinds(props: {
  readonly kinds: readonly KindInfo[];
  readonly machine: string;
  readonly chosen: string;
  readonly onChoose: (kind: string) => void;
}): JSX.Element {
  // What can be had comes first, each in the order of the machine.
  const there = props.kinds.filter(({ installed }) => installed);
  const missing = props.kinds.filter(({ installed }) => !installed);
  const choice = (kind: string, title: string, hint: string, installed = true): JSX.Element => (
    <label key={kind} class="kind-choice">
      <input
        type="radio"
        name="kind"
        value={kind}
        data-testid={`kind-${kind}`}
        disabled={!installed}
        checked={props.chosen === kind}
        onChange={() => props.onChoose(kind)}
      />
      <span class="kind-card">
        <span class={installed ? "kind" : "kind over"}>
          {kind === "shell" || kind === "custom" ? <ShellIcon /> : <AgentIcon />}
        </span>
        <span class="kind-text">
          <span>{title}</span>
          <span class="quiet small">{hint}</span>
        </span>
      </span>
    </label>
  );
  return (
    <fieldset class="kinds" aria-label="What to start">
      {there.map(({ name, title }) =>
        choice(name, title, name === "shell" ? "Your login shell" : "Agent"),
      )}
      {choice("custom", "Command", "Typed by you")}
      {missing.map(({ name, title }) => choice(name, title, `Not on ${props.machine}’s PATH`, false))}
    </fieldset>
  );
}

export function Commands(props: {
  readonly commands: readonly CommandInfo[];
  readonly disabled: boolean;
  readonly onStart: (name: string) => void;
}): JSX.Element | null {
  if (props.commands.length === 0) return null;
  return (
    <section class="commands" aria-label="Your commands">
      {props.commands.map(({ name, argv }) => (
        <button
          key={name}
          type="button"
          class="button compact"
          title={argv.join(" ")}
          aria-label={`Start ${name}`}
          data-testid="command"
          disabled={props.disabled}
          onClick={() => props.onStart(name)}
        >
          <PlayIcon />
          <bdi>{name}</bdi>
        </button>
      ))}
    </section>
  );
}
