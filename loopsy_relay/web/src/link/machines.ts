// All machines of this phone: taken from the store, kept connected, added and forgotten.

import type { MachineRecord } from "../store/records";
import type { Store } from "../store/store";
import { Watched } from "../watched";
import { Machine } from "./machine";

export class Machines {
  readonly list = new Watched<readonly Machine[]>(Object.freeze([]));

  constructor(
    private readonly store: Store,
    private readonly make: (record: MachineRecord) => Machine = (record) => new Machine(record),
  ) {}

  async load(): Promise<void> {
    for (const record of await this.store.machines()) this.admit(record);
  }

  find(nodeId: string): Machine | null {
    return this.list.value.find((machine) => machine.id === nodeId) ?? null;
  }

  /** Keep a machine that was just paired; it takes the place of an earlier pairing with it. */
  async add(record: MachineRecord): Promise<Machine> {
    await this.store.saveMachine(record);
    return this.admit(record);
  }

  /**
   * Delete a machine's keys and bearer here. If it is online it forgets this phone as well;
   * the result says whether it did.
   */
  async forget(machine: Machine): Promise<boolean> {
    let told = true;
    try {
      await machine.ask("pairing.forget");
    } catch {
      told = machine.state.value.at === "refused"; // it has forgotten us long ago
    }
    machine.close();
    await this.store.forgetMachine(machine.id);
    this.list.set(Object.freeze(this.list.value.filter((other) => other !== machine)));
    return told;
  }

  wake(): void {
    for (const machine of this.list.value) machine.wake();
  }

  private admit(record: MachineRecord): Machine {
    const machine = this.make(record);
    const others = this.list.value.filter((other) => {
      if (other.id !== machine.id) return true;
      other.close();
      return false;
    });
    this.list.set(Object.freeze([...others, machine]));
    machine.open();
    return machine;
  }
}
