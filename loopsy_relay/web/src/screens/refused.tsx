// A machine that does not accept this phone any more, and what its user can do about it.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Machine } from "../link/machine";
import { Confirm } from "./dialog";
import { usePhone } from "./hooks";
import { replace, SESSIONS } from "./route";

/** The keys are kept until the user says otherwise: the relay could have lied. */
export function Refused({ machine }: { readonly machine: Machine }): JSX.Element {
  const phone = usePhone();
  const [asking, setAsking] = useState(false);
  return (
    <section class="banner bad" role="alert" data-testid="refused">
      <h2>This machine no longer accepts this phone</h2>
      <p>
        Its pairing with {machine.name} was revoked or has expired. To pair again, run{" "}
        <code>loopsy mobile pair</code> there and open the new link.
      </p>
      <div class="banner-actions">
        <button type="button" class="button" onClick={() => machine.open()}>
          Try again
        </button>
        <button type="button" class="button danger" onClick={() => setAsking(true)}>
          Forget this machine
        </button>
      </div>
      {asking && (
        <Confirm
          title={`Forget ${machine.name}?`}
          text="Its keys are deleted from this phone."
          action="Forget"
          onClose={() => setAsking(false)}
          onConfirm={() => {
            replace(SESSIONS);
            void phone.machines.forget(machine);
          }}
        />
      )}
    </section>
  );
}
