// Pairing: the four digits, and a clear word when they are wrong or the link is used up.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { PairingFlow } from "../link/pairing_flow";
import { isCode, type LinkTrouble } from "../wire/pairing";
import { usePhone, useWatched } from "./hooks";
import { LoopIcon } from "./icons";

const CODE_LENGTH = 4;

export function Pair({ pairing }: { readonly pairing: PairingFlow | LinkTrouble }): JSX.Element {
  return (
    <main class="centre" data-testid="pair">
      <LoopIcon />
      {typeof pairing === "string" ? <BadLink trouble={pairing} /> : <Ask flow={pairing} />}
    </main>
  );
}

function Ask({ flow }: { readonly flow: PairingFlow }): JSX.Element {
  const phone = usePhone();
  const state = useWatched(flow.state);
  const [code, setCode] = useState("");
  const input = useRef<HTMLInputElement>(null);
  const trying = state.at === "trying";
  const triesLeft = state.at === "asking" ? state.triesLeft : null;

  useEffect(() => {
    // A wrong code is typed anew from its first digit.
    if (triesLeft !== null) setCode("");
    if (state.at === "asking") input.current?.focus();
  }, [state]);

  if (state.at === "over") return <UsedUp why={state.why} />;
  const submit = (event: Event): void => {
    event.preventDefault();
    if (isCode(code)) void flow.submit(code);
  };
  const problem = state.at === "asking" ? problemOf(state) : null;
  return (
    <form class="pair" onSubmit={submit}>
      <h1>Pair this device</h1>
      <p class="quiet" id="pair-hint">
        Type the four digits that your machine shows.
      </p>
      <input
        ref={input}
        class="code"
        data-testid="pair-code"
        aria-label="Pairing code"
        aria-describedby="pair-hint pair-error"
        aria-invalid={problem !== null}
        inputMode="numeric"
        autocomplete="one-time-code"
        pattern="[0-9]{4}"
        maxLength={CODE_LENGTH}
        placeholder="0000"
        value={code}
        disabled={trying}
        onInput={(event) => {
          const digits = event.currentTarget.value.replace(/[^0-9]/g, "").slice(0, CODE_LENGTH);
          event.currentTarget.value = digits;
          setCode(digits);
        }}
      />
      <p class="wrong" id="pair-error" data-testid="pair-error" role="alert">
        {problem}
      </p>
      <button
        type="submit"
        class="button primary wide"
        data-testid="pair-submit"
        disabled={trying || !isCode(code)}
      >
        {trying ? "Pairing…" : "Pair"}
      </button>
      <button
        type="button"
        class="button plain"
        disabled={trying}
        onClick={() => {
          void flow.giveUp();
          phone.pairing.set(null);
        }}
      >
        Cancel
      </button>
    </form>
  );
}

function problemOf(state: { triesLeft: number | null; trouble: string | null }): string | null {
  const { triesLeft, trouble } = state;
  if (triesLeft !== null) return `Wrong code, ${triesLeft} ${triesLeft === 1 ? "try" : "tries"} left.`;
  return trouble;
}

function UsedUp({ why }: { readonly why: "burnt" | "gone" }): JSX.Element {
  return (
    <Trouble
      title={why === "burnt" ? "Too many wrong codes" : "This link is used up"}
      text={
        why === "burnt"
          ? "To keep strangers from guessing, this link does not work any more."
          : "A pairing link works once, and for a few minutes."
      }
    />
  );
}

function BadLink({ trouble }: { readonly trouble: LinkTrouble }): JSX.Element {
  if (trouble === "too_new") {
    return (
      <Trouble
        title="This link is newer than this page"
        text="Reload the page. If that does not help, update Loopsy on the relay."
      />
    );
  }
  return (
    <Trouble
      title="This link is damaged"
      text="A part of it is missing. Scan the code again, or copy the whole link."
    />
  );
}

function Trouble({ title, text }: { readonly title: string; readonly text: string }): JSX.Element {
  const phone = usePhone();
  return (
    <div class="pair">
      <h1>{title}</h1>
      <p class="quiet" data-testid="pair-error" role="alert">
        {text} For a new link, run <code>loopsy mobile pair</code> on the machine.
      </p>
      <button type="button" class="button primary wide" onClick={() => phone.pairing.set(null)}>
        Done
      </button>
    </div>
  );
}
