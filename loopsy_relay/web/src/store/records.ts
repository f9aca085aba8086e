// What this phone keeps: one record for each machine, the settings, and a pairing under way.

/** A machine that we are paired with. The secret key is in here and nowhere else. */
export interface MachineRecord {
  readonly nodeId: string;
  /** What the machine called itself when it was last seen. */
  readonly name: string;
  /** Origin of the relay through which it is reached. */
  readonly relay: string;
  /** Lets us in at the relay. */
  readonly bearer: string;
  readonly phoneId: string;
  /** What we call ourselves there. */
  readonly phoneName: string;
  /** Our X25519 secret key for this machine, 32 bytes. */
  readonly secretKey: Uint8Array;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

/**
 * A pairing that has begun: the link was opened, and perhaps redeemed, but no code was right yet.
 * It is kept so that a reload, or a browser that throws the page out of memory while its user
 * reads the code elsewhere, does not burn the link.
 */
export interface PendingPairing {
  readonly token: string;
  readonly nodeId: string;
  readonly secret: Uint8Array;
  readonly relay: string;
  readonly secretKey: Uint8Array;
  readonly redeemed: Redeemed | null;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
}

export interface Redeemed {
  readonly phoneId: string;
  readonly bearer: string;
}

/** No offer lives longer than an hour; nothing of an older pairing is kept. */
export const PENDING_FOR = 60 * 60 * 1000;
