// The first thing a new phone shows: how to pair it with a machine.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { parsePairLink } from "../wire/pairing";
import { usePhone } from "./hooks";
import { LoopIcon } from "./icons";

export function Welcome(): JSX.Element {
  return (
    <main class="centre" data-testid="welcome">
      <LoopIcon />
      <h1>Your terminals, from here</h1>
      <p class="quiet">Pair this device with a machine that runs Loopsy:</p>
      <ol class="steps">
        <li>
          On the machine, run
          <code class="command">loopsy mobile pair</code>
        </li>
        <li>Scan the code it shows with this device’s camera</li>
        <li>Type the four digits that appear beside it</li>
      </ol>
      <PasteLink />
    </main>
  );
}

/** For the app on a home screen: a scanned link opens in the browser, which keeps its own keys. */
function PasteLink(): JSX.Element {
  const phone = usePhone();
  const [wrong, setWrong] = useState(false);
  const paste = (text: string): void => {
    const address = text.trim();
    if (address === "") return setWrong(false);
    const link = readAddress(address);
    const parsed = parsePairLink(link?.hash ?? "");
    if (link === null || parsed === "not_a_link") return setWrong(true);
    if (link.origin === location.origin) phone.follow(parsed);
    else location.assign(link); // another relay: its own page has to be opened
  };
  return (
    <label class="field paste">
      <span>Or paste the pairing link</span>
      <input
        type="url"
        inputMode="url"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        placeholder="https://…/app#1,…"
        data-testid="pair-link"
        aria-invalid={wrong}
        onInput={(event) => paste(event.currentTarget.value)}
      />
      {wrong && (
        <span class="wrong" role="alert">
          That is no pairing link. It looks like https://…/app#1,… and is shown by{" "}
          <code>loopsy mobile pair</code>.
        </span>
      )}
    </label>
  );
}

function readAddress(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null; // URL.canParse is too young for the phones that people have
  }
}
