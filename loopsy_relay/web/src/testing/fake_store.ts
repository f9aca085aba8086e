// A phone's memory that lasts as long as a test.

import type { MachineRecord, PendingPairing } from "../store/records";
import { DEFAULT_SETTINGS, type Settings } from "../store/settings";
import type { Store } from "../store/store";

export class FakeStore implements Store {
  readonly kept = new Map<string, MachineRecord>();
  pendingPairing: PendingPairing | null = null;
  keptSettings: Settings = DEFAULT_SETTINGS;

  machines = (): Promise<readonly MachineRecord[]> => Promise.resolve([...this.kept.values()]);
  saveMachine = async (record: MachineRecord): Promise<void> => {
    this.kept.set(record.nodeId, record);
  };
  forgetMachine = async (nodeId: string): Promise<void> => {
    this.kept.delete(nodeId);
  };
  settings = (): Promise<Settings> => Promise.resolve(this.keptSettings);
  saveSettings = async (settings: Settings): Promise<void> => {
    this.keptSettings = settings;
  };
  pending = (): Promise<PendingPairing | null> => Promise.resolve(this.pendingPairing);
  savePending = async (pending: PendingPairing): Promise<void> => {
    this.pendingPairing = pending;
  };
  forgetPending = async (): Promise<void> => {
    this.pendingPairing = null;
  };
}
