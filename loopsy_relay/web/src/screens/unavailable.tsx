// What is shown where the browser keeps nothing: without a place for keys there is no app.

import type { JSX } from "preact";
import { LoopIcon } from "./icons";

export function Unavailable({ message }: { readonly message: string }): JSX.Element {
  return (
    <main class="centre" data-testid="unavailable">
      <LoopIcon />
      <h1>Nothing can be kept here</h1>
      <p class="quiet">{message}</p>
      <button type="button" class="button primary" onClick={() => location.reload()}>
        Try again
      </button>
    </main>
  );
}
