// Two ends of one sealed connection, for tests that do not care how they met.

import { CipherState } from "../wire/noise";
import { Sealed } from "../wire/sealed";

export function sealedPair(seed = 1): [Sealed, Sealed] {
  const key = (n: number): Uint8Array => new Uint8Array(32).fill(n);
  const there = (): CipherState => new CipherState(key(seed));
  const back = (): CipherState => new CipherState(key(seed + 1));
  return [
    new Sealed({ sending: there(), receiving: back() }),
    new Sealed({ sending: back(), receiving: there() }),
  ];
}
