// Settings of the terminal and the page, and the machines with the way to forget them.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Machine } from "../link/machine";
import { FONT_SIZE, SCROLLBACK, within, type Theme } from "../store/settings";
import { VERSION } from "../version";
import { Confirm } from "./dialog";
import { usePhone, useWatched } from "./hooks";
import { BackIcon } from "./icons";
import { describe } from "./machine_words";
import { back } from "./route";

const THEMES: readonly { readonly value: Theme; readonly label: string }[] = [
  { value: "system", label: "System" },
  { value: "light", label: "Light" },
  { value: "dark", label: "Dark" },
];

export function SettingsScreen(): JSX.Element {
  const phone = usePhone();
  const settings = useWatched(phone.settings);
  const machines = useWatched(phone.machines.list);
  const [untold, setUntold] = useState<string | null>(null);
  return (
    <main class="screen" data-testid="settings-screen">
      <header class="bar">
        <button type="button" class="icon-button" aria-label="Back" data-testid="back" onClick={back}>
          <BackIcon />
        </button>
        <h1 class="bar-title">Settings</h1>
      </header>
      <div class="scroll">
        <section class="group">
          <h2>Terminal</h2>
          <NumberSetting
            label="Scrollback"
            hint="Lines kept for scrolling"
            id="scrollback"
            value={settings.scrollback}
            limits={SCROLLBACK}
            step={1000}
            onChange={(scrollback) => phone.saveSettings({ ...settings, scrollback })}
          />
          <NumberSetting
            label="Text size"
            hint="In pixels"
            id="font-size"
            value={settings.fontSize}
            limits={FONT_SIZE}
            step={1}
            onChange={(fontSize) => phone.saveSettings({ ...settings, fontSize })}
          />
        </section>
        <section class="group">
          <h2>Appearance</h2>
          <fieldset class="choices" aria-label="Theme">
            {THEMES.map(({ value, label }) => (
              <label key={value} class="choice">
                <input
                  type="radio"
                  name="theme"
                  value={value}
                  data-testid={`theme-${value}`}
                  checked={settings.theme === value}
                  onChange={() => phone.saveSettings({ ...settings, theme: value })}
                />
                <span>{label}</span>
              </label>
            ))}
          </fieldset>
        </section>
        <section class="group">
          <h2>{machines.length === 1 ? "Machine" : "Machines"}</h2>
          {untold !== null && (
            <p class="banner small" role="status">
              {untold} could not be told. To be sure, run <code>loopsy phone revoke</code> there.
            </p>
          )}
          {machines.map((machine) => (
            <MachineSetting key={machine.id} machine={machine} onUntold={setUntold} />
          ))}
        </section>
        <p class="version quiet small">
          Loopsy {VERSION}. Everything between this device and your machines is encrypted end to end;
          the relay cannot read it.
        </p>
      </div>
    </main>
  );
}

function NumberSetting(props: {
  readonly label: string;
  readonly hint: string;
  readonly id: string;
  readonly value: number;
  readonly step: number;
  readonly limits: { readonly min: number; readonly max: number };
  readonly onChange: (value: number) => void;
}): JSX.Element {
  const { limits, value } = props;
  return (
    <label class="setting">
      <span class="setting-text">
        <span>{props.label}</span>
        <span class="quiet small">{props.hint}</span>
      </span>
      <input
        type="number"
        inputMode="numeric"
        data-testid={props.id}
        min={limits.min}
        max={limits.max}
        step={props.step}
        value={value}
        onChange={(event) => {
          const number = within(event.currentTarget.valueAsNumber, limits, value);
          event.currentTarget.value = String(number);
          props.onChange(number);
        }}
      />
    </label>
  );
}

function MachineSetting(props: {
  readonly machine: Machine;
  readonly onUntold: (name: string) => void;
}): JSX.Element {
  const { machine } = props;
  const phone = usePhone();
  const words = describe(useWatched(machine.state));
  const [asking, setAsking] = useState(false);
  const forget = async (): Promise<void> => {
    const { name } = machine;
    if (!(await phone.machines.forget(machine))) props.onUntold(name);
  };
  return (
    <div class="setting">
      <span class="setting-text">
        <span>
          <span class={`dot ${words.dot}`} /> {machine.name}
        </span>
        <span class="quiet small mono break">{machine.id.slice(0, 16)}…</span>
      </span>
      <button
        type="button"
        class="button danger"
        data-testid="forget"
        aria-label={`Forget ${machine.name}`}
        onClick={() => setAsking(true)}
      >
        Forget
      </button>
      {asking && (
        <Confirm
          title={`Forget ${machine.name}?`}
          text="Its keys are deleted from this phone, and the machine stops accepting it. Sessions go on."
          action="Forget"
          onClose={() => setAsking(false)}
          onConfirm={() => void forget()}
        />
      )}
    </div>
  );
}
