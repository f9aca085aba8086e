// The phone's memory: one IndexedDB database. Keys live here and are never sent anywhere.

import { PENDING_FOR, type MachineRecord, type PendingPairing } from "./records";
import { readSettings, type Settings } from "./settings";

const NAME = "loopsy";
const VERSION = 1;
/** A browser that blocks storage sometimes never answers at all. Milliseconds. */
const OPEN_WITHIN = 5_000;

/** This browser does not let us keep anything; the message says what to try. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}

export interface Store {
  machines(): Promise<readonly MachineRecord[]>;
  saveMachine(record: MachineRecord): Promise<void>;
  forgetMachine(nodeId: string): Promise<void>;
  settings(): Promise<Settings>;
  saveSettings(settings: Settings): Promise<void>;
  /** The pairing under way, unless it is too old to be of use. */
  pending(): Promise<PendingPairing | null>;
  savePending(pending: PendingPairing): Promise<void>;
  forgetPending(): Promise<void>;
}

/** Open the database, or reject with StoreUnavailable. */
export async function openStore(): Promise<Store> {
  const database = await openDatabase();
  const read = <T>(table: string, ask: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> =>
    answer(ask(database.transaction(table).objectStore(table)));
  const write = (table: string, change: (store: IDBObjectStore) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction(table, "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(storeError(transaction.error));
      change(transaction.objectStore(table));
    });

  return Object.freeze<Store>({
    machines: async () => {
      const records = await read<MachineRecord[]>("machines", (store) => store.getAll());
      return records.sort((a, b) => a.createdAt - b.createdAt);
    },
    saveMachine: (record) => write("machines", (store) => store.put(record)),
    forgetMachine: (nodeId) => write("machines", (store) => store.delete(nodeId)),
    settings: async () => readSettings(await read<unknown>("values", (store) => store.get("settings"))),
    saveSettings: (settings) => write("values", (store) => store.put({ ...settings }, "settings")),
    pending: async () => {
      const pending = await read<PendingPairing | undefined>("values", (s) => s.get("pending"));
      if (pending === undefined) return null;
      if (Date.now() - pending.startedAt < PENDING_FOR) return pending;
      await write("values", (store) => store.delete("pending"));
      return null;
    },
    savePending: (pending) => write("values", (store) => store.put(pending, "pending")),
    forgetPending: () => write("values", (store) => store.delete("pending")),
  });
}

function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => reject(storeError(cause));
    const timer = setTimeout(() => fail(new Error("no answer")), OPEN_WITHIN);
    let request: IDBOpenDBRequest;
    try {
      request = indexedDB.open(NAME, VERSION); // throws where storage is forbidden altogether
    } catch (cause) {
      clearTimeout(timer);
      return fail(cause);
    }
    request.onupgradeneeded = () => {
      request.result.createObjectStore("machines", { keyPath: "nodeId" });
      request.result.createObjectStore("values");
    };
    request.onerror = () => {
      clearTimeout(timer);
      fail(request.error);
    };
    request.onsuccess = () => {
      clearTimeout(timer);
      // A newer page in another tab wants to change the tables: do not stand in its way.
      request.result.onversionchange = () => request.result.close();
      resolve(request.result);
    };
  });
}

function answer<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(storeError(request.error));
  });
}

function storeError(cause: unknown): StoreUnavailable {
  console.warn("Loopsy: the browser's database failed.", cause);
  return new StoreUnavailable(
    "This browser does not let Loopsy keep its keys. " +
      "If this is a private window, open the page in a normal one; otherwise allow this site to store data.",
  );
}
