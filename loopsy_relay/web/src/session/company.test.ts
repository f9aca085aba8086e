// What a notice says when the list of viewers changes.

import { expect, test } from "vitest";
import { whatChanged } from "./company";

test("who came and who left is named, each as often as it happened", () => {
  expect(whatChanged(["desk"], ["desk", "Phone"])).toBe("Phone joined");
  expect(whatChanged(["Phone", "Phone"], ["Phone"])).toBe("Phone left");
  expect(whatChanged(["desk", ""], ["desk", "Phone", "Phone"])).toBe(
    "Phone joined, Phone joined, Somebody left",
  );
  expect(whatChanged(["a", "b"], ["b", "a"])).toBeNull();
});
