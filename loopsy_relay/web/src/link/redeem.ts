// Turning a pair token into a bearer at the relay: once, over HTTP.

import { Fields } from "../wire/shapes";
import type { Redeemed } from "../store/records";

const REDEEM_WITHIN = 10_000;
/** A bearer becomes part of a WebSocket subprotocol, where browsers accept no other characters. */
const BEARER = /^[A-Za-z0-9._~-]{1,512}$/;

/** The relay gave us no bearer. */
export interface RedeemTrouble {
  readonly why:
    | "offer_gone" // used, expired or never issued
    | "busy" // too many tries from this address, or too many phones
    | "unreachable";
  /** What the relay said about it, for a person. */
  readonly message: string | null;
}

const UNREACHABLE: RedeemTrouble = Object.freeze({ why: "unreachable", message: null });

/** A bearer for `token`, or the reason why there is none. Never rejects. */
export async function redeem(
  relay: string,
  token: string,
  name: string,
): Promise<Redeemed | RedeemTrouble> {
  let response: Response;
  try {
    response = await fetch(new URL("/api/v1/pair/redeem", relay), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token, name }),
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(REDEEM_WITHIN),
    });
  } catch {
    return UNREACHABLE;
  }
  const body: unknown = await response.json().catch(() => null);
  if (response.status >= 500) return UNREACHABLE;
  if (!response.ok) {
    const why = response.status === 429 ? "busy" : "offer_gone";
    return Object.freeze({ why, message: messageIn(body) });
  }
  try {
    const fields = new Fields(body, "redeemed");
    const bearer = fields.text("bearer");
    if (!BEARER.test(bearer)) return UNREACHABLE;
    return Object.freeze({ phoneId: fields.text("phoneId"), bearer });
  } catch {
    return UNREACHABLE; // something in between answered for the relay
  }
}

function messageIn(body: unknown): string | null {
  try {
    return new Fields(body, "answer").map("error").text("message");
  } catch {
    return null;
  }
}
