// Pairing as its user goes through it: the link, the code, a few tries, and a machine at the end.

import type { PendingPairing } from "../store/records";
import type { Store } from "../store/store";
import { Watched } from "../watched";
import { newKeyPair } from "../wire/noise";
import type { PairLink } from "../wire/pairing";
import { dialRelay, type Dial } from "./connection";
import { explainLoss } from "./ending";
import type { Machines } from "./machines";
import { guessPhoneName, tryCode, type PairOutcome, type ReadyPairing } from "./pair";
import { redeem } from "./redeem";

export type PairingState =
  /** Waiting for the code. `triesLeft` after a wrong one; `trouble` if something else failed. */
  | { readonly at: "asking"; readonly triesLeft: number | null; readonly trouble: string | null }
  | { readonly at: "trying" }
  /** This link is of no use any more. */
  | { readonly at: "over"; readonly why: "burnt" | "gone" }
  | { readonly at: "paired"; readonly nodeId: string };

export class PairingFlow {
  readonly state = new Watched<PairingState>({ at: "asking", triesLeft: null, trouble: null });

  constructor(
    private pending: PendingPairing,
    private readonly store: Store,
    private readonly machines: Machines,
    private readonly phoneName: string = guessPhoneName(navigator.userAgent),
    private readonly dial: Dial = dialRelay,
  ) {}

  /** A link was opened; it is kept until it has been used up. */
  static begin(link: PairLink, relay: string, store: Store, machines: Machines): PairingFlow {
    const { token, nodeId, secret } = link;
    const pending: PendingPairing = Object.freeze({
      token,
      nodeId,
      secret,
      relay,
      secretKey: newKeyPair().secret,
      redeemed: null,
      startedAt: Date.now(),
    });
    void store.savePending(pending);
    return new PairingFlow(pending, store, machines);
  }

  /** Try `code`. Nothing happens unless a code is being asked for. */
  async submit(code: string): Promise<void> {
    if (this.state.value.at !== "asking") return;
    this.state.set({ at: "trying" });
    const ready = await this.redeemed();
    if (ready === null) return;
    const outcome = await tryCode(ready, code, this.phoneName, this.dial);
    await this.conclude(ready, outcome);
  }

  /** The user does not want to pair any more. */
  async giveUp(): Promise<void> {
    await this.store.forgetPending();
  }

  /** The token is redeemed with the first code, not before: looking at a link costs nothing. */
  private async redeemed(): Promise<ReadyPairing | null> {
    const known = this.pending.redeemed;
    if (known !== null) return { ...this.pending, redeemed: known };
    const { relay, token } = this.pending;
    const got = await redeem(relay, token, this.phoneName);
    if ("bearer" in got) {
      const ready = Object.freeze({ ...this.pending, redeemed: got });
      this.pending = ready;
      await this.store.savePending(ready);
      return ready;
    }
    if (got.why === "offer_gone") await this.end("gone");
    else if (got.why === "busy") this.ask(sentence(got.message) ?? "The relay is busy. Wait a minute.");
    else this.ask(explainLoss("unreachable"));
    return null;
  }

  private async conclude(ready: ReadyPairing, outcome: PairOutcome): Promise<void> {
    switch (outcome.how) {
      case "paired": {
        const { nodeId, relay, secretKey, redeemed } = ready;
        await this.machines.add(
          Object.freeze({
            nodeId,
            name: outcome.hello.name,
            relay,
            bearer: redeemed.bearer,
            phoneId: redeemed.phoneId,
            phoneName: this.phoneName,
            secretKey,
            createdAt: Date.now(),
          }),
        );
        await this.store.forgetPending();
        // Without it some browsers throw our keys away after a few weeks, or when disks fill up.
        void navigator.storage?.persist?.();
        this.state.set({ at: "paired", nodeId });
        return;
      }
      case "wrong_code":
        if (outcome.triesLeft === 0) return this.end("burnt");
        this.state.set({ at: "asking", triesLeft: outcome.triesLeft, trouble: null });
        return;
      case "offer_gone":
      case "refused":
        return this.end("gone");
      case "lost":
        this.ask(explainLoss(outcome.why));
        return;
    }
  }

  private ask(trouble: string): void {
    this.state.set({ at: "asking", triesLeft: null, trouble });
  }

  private async end(why: "burnt" | "gone"): Promise<void> {
    await this.store.forgetPending();
    this.state.set({ at: "over", why });
  }
}

/** The relay's messages begin small and end without a stop, as they stand in a log. */
function sentence(message: string | null): string | null {
  if (message === null) return null;
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}
