// Messages of machines on a screen.

import { expect, test } from "vitest";
import { sentence } from "./words";

test("a message becomes a sentence, and a sentence stays one", () => {
  expect(sentence("nobody confirmed it in time")).toBe("Nobody confirmed it in time.");
  expect(sentence("This is one.")).toBe("This is one.");
  expect(sentence("ärger?")).toBe("Ärger?");
  expect(sentence(" ")).toBe("");
});
