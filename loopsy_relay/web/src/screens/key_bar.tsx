// The row of keys that a phone's keyboard lacks.

import type { JSX } from "preact";
import { tapped, type BarKey, type Modifiers, type Sticky } from "../session/keys";

const KEYS: readonly { readonly key: BarKey; readonly face: string; readonly name: string }[] = [
  { key: "Up", face: "↑", name: "Up" },
  { key: "Down", face: "↓", name: "Down" },
  { key: "Left", face: "←", name: "Left" },
  { key: "Right", face: "→", name: "Right" },
  { key: "^C", face: "^C", name: "Control C" },
  { key: "|", face: "|", name: "Pipe" },
  { key: "/", face: "/", name: "Slash" },
  { key: "~", face: "~", name: "Tilde" },
  { key: "-", face: "-", name: "Dash" },
];

export function KeyBar(props: {
  readonly modifiers: Modifiers;
  readonly onModifiers: (modifiers: Modifiers) => void;
  readonly onKey: (key: BarKey) => void;
}): JSX.Element {
  const { modifiers, onModifiers, onKey } = props;
  return (
    <div
      class="keys"
      role="toolbar"
      aria-label="Keys"
      data-testid="key-bar"
      // The terminal keeps the focus, or the phone would put its keyboard away.
      onMouseDown={(event) => event.preventDefault()}
    >
      <Key face="Esc" name="Escape" onTap={() => onKey("Esc")} />
      <Key face="Tab" name="Tab" onTap={() => onKey("Tab")} />
      <ModifierKey
        face="Ctrl"
        sticky={modifiers.ctrl}
        onTap={() => onModifiers({ ...modifiers, ctrl: tapped(modifiers.ctrl) })}
      />
      <ModifierKey
        face="Alt"
        sticky={modifiers.alt}
        onTap={() => onModifiers({ ...modifiers, alt: tapped(modifiers.alt) })}
      />
      {KEYS.map(({ key, face, name }) => (
        <Key key={key} face={face} name={name} onTap={() => onKey(key)} />
      ))}
    </div>
  );
}

function Key(props: { face: string; name: string; onTap: () => void }): JSX.Element {
  return (
    <button type="button" class="key" aria-label={props.name} data-key={props.name} onClick={props.onTap}>
      {props.face}
    </button>
  );
}

function ModifierKey(props: { face: string; sticky: Sticky; onTap: () => void }): JSX.Element {
  return (
    <button
      type="button"
      class={`key modifier ${props.sticky}`}
      aria-pressed={props.sticky !== "off"}
      aria-label={props.sticky === "locked" ? `${props.face}, locked` : props.face}
      data-key={props.face}
      onClick={props.onTap}
    >
      {props.face}
    </button>
  );
}
