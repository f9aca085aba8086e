// An encrypted connection after its handshake: messages in, records out, and the way back.
//
// A record is one Noise transport message. Long messages travel in several records, short ones are
// padded, so that the relay learns neither keystrokes nor exact lengths (PROTOCOL.md, section 2).

import { join } from "./bytes";
import { MESSAGE_LIMIT, ProtocolError } from "./codec";
import type { CipherState, Secured } from "./noise";

/** Plaintext of a record: a Noise message of 65 535 bytes less its tag of 16. */
export const RECORD_LIMIT = 65_519;
/** A record of up to this many bytes, counted with its three bytes of header, is padded ... */
export const PADDED_UP_TO = 1024;
/** ... to a multiple of this many. */
export const PADDING_STEP = 64;
/** Each direction's key is replaced after this many records. */
export const REKEY_AFTER = 1 << 16;

const MORE = 0b01;
const PADDED = 0b10;
const NOTHING = new Uint8Array(0);

/** Seals and opens the records of one connection. The first thing wrong ends it both ways. */
export class Sealed {
  private readonly sending: Counted;
  private readonly receiving: Counted;
  private parts: Uint8Array[] = [];
  private partsLength = 0;
  private dead = false;

  constructor(secured: Pick<Secured, "sending" | "receiving">) {
    this.sending = new Counted(secured.sending);
    this.receiving = new Counted(secured.receiving);
  }

  /** The records that carry `message`, to be sent in this order and none left out. */
  seal(message: Uint8Array): Uint8Array[] {
    this.mustLive();
    if (message.length === 0 || message.length > MESSAGE_LIMIT) {
      throw new RangeError(`A message has 1 to ${MESSAGE_LIMIT} bytes, not ${message.length}.`);
    }
    const records: Uint8Array[] = [];
    let rest = message;
    while (rest.length > RECORD_LIMIT - 1) {
      const fragment = rest.subarray(0, RECORD_LIMIT - 1);
      records.push(this.sending.encrypt(join(Uint8Array.of(MORE), fragment)));
      rest = rest.subarray(RECORD_LIMIT - 1);
    }
    records.push(this.sending.encrypt(lastRecord(rest)));
    return records;
  }

  /**
   * The message that `record` completes, or null if more of it is to come.
   *
   * @throws NoiseError, ProtocolError: from then on this connection neither seals nor opens.
   */
  open(record: Uint8Array): Uint8Array | null {
    this.mustLive();
    this.dead = true; // until the last check has passed
    const { more, content } = readRecord(this.receiving.decrypt(record));
    this.partsLength += content.length;
    if (this.partsLength > MESSAGE_LIMIT) throw new ProtocolError("A message is over the limit.");
    this.parts.push(content);
    this.dead = false;
    if (more) return null;
    const message = this.parts.length === 1 ? content : join(...this.parts);
    this.parts = [];
    this.partsLength = 0;
    return message;
  }

  private mustLive(): void {
    if (this.dead) throw new ProtocolError("This connection has ended.");
  }
}

/** A cipher that replaces its own key when it is due. */
class Counted {
  private count = 0;

  constructor(private readonly cipher: CipherState) {}

  encrypt(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.cipher.encrypt(NOTHING, plaintext);
    this.tally();
    return ciphertext;
  }

  decrypt(ciphertext: Uint8Array): Uint8Array {
    if (ciphertext.length > RECORD_LIMIT + 16) throw new ProtocolError("A record is too long.");
    const plaintext = this.cipher.decrypt(NOTHING, ciphertext);
    this.tally();
    return plaintext;
  }

  private tally(): void {
    this.count++;
    if (this.count % REKEY_AFTER === 0) this.cipher.rekey();
  }
}

function lastRecord(content: Uint8Array): Uint8Array {
  const bare = 3 + content.length;
  if (bare > PADDED_UP_TO) return join(Uint8Array.of(0), content);
  const record = new Uint8Array(Math.ceil(bare / PADDING_STEP) * PADDING_STEP);
  record[0] = PADDED;
  record[1] = content.length >> 8;
  record[2] = content.length & 0xff;
  record.set(content, 3);
  return record;
}

function readRecord(record: Uint8Array): { more: boolean; content: Uint8Array } {
  const flags = record[0];
  if (flags === 0 || flags === MORE) {
    if (record.length === 1) throw new ProtocolError("A record has no content.");
    return { more: flags === MORE, content: record.subarray(1) };
  }
  if (flags !== PADDED) throw new ProtocolError("A record has flags that we do not know.");
  const [, high, low] = record;
  if (high === undefined || low === undefined) throw new ProtocolError("A record is cut off.");
  const end = 3 + ((high << 8) | low);
  if (end === 3) throw new ProtocolError("A record has no content.");
  if (end > record.length) throw new ProtocolError("A length goes beyond its record.");
  if (record.subarray(end).some((byte) => byte !== 0)) {
    throw new ProtocolError("Padding is not zero.");
  }
  return { more: false, content: record.subarray(3, end) };
}
