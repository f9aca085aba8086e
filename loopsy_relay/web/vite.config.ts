// How the page is built and tested: served under /app/, from files only, with no inline script.

import { readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";

const { version } = JSON.parse(
  readFileSync(new URL("package.json", import.meta.url), "utf8"),
) as { version: string };

export default defineConfig({
  base: "/app/",
  // As in tsconfig.json, which does not cover the tests.
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  define: { __APP_VERSION__: JSON.stringify(version) },
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    // The polyfill is an inline script, and the relay's Content-Security-Policy allows none.
    modulePreload: { polyfill: false },
    // Small pictures stay files too: `img-src 'self'` is enough for this page.
    assetsInlineLimit: 0,
    // The lazy terminal is as large as xterm is; nothing on the first screen waits for it.
    chunkSizeWarningLimit: 700,
  },
  test: {
    environment: "node",
    include: ["src/**/*.test.{ts,tsx}"],
    // Made-up examples take a second of computing, and many times that on a busy machine.
    testTimeout: 60_000,
  },
});
