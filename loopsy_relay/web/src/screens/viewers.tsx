// Who else looks at the session that is open: a word in its status line, names on demand.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { called, whatChanged } from "../session/company";
import type { Audience } from "../wire/operations";
import { Dialog } from "./dialog";

/** How long it is said that somebody came or left, in milliseconds. */
const NOTICE_FOR = 4_000;

/** How many look, if we are not alone; a tap shows who. */
export function Viewers({ audience }: { readonly audience: Audience | null }): JSX.Element | null {
  const [open, setOpen] = useState(false);
  const names = (audience?.names ?? []).map(called);
  if (names.length < 2) return null;
  return (
    <>
      {" · "}
      <button
        type="button"
        class="inline-button"
        title={names.join(", ")}
        data-testid="viewers"
        onClick={() => setOpen(true)}
      >
        {names.length} viewers
      </button>
      {open && (
        <Dialog label="Viewers" onClose={() => setOpen(false)}>
          <h2>Looking at this session</h2>
          <ul class="names" data-testid="viewer-names">
            {names.map((name, index) => (
              <li key={index}>
                <bdi>{name}</bdi>
              </li>
            ))}
          </ul>
          <div class="dialog-actions">
            <button type="button" class="button only" onClick={() => setOpen(false)}>
              Close
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

/** "Desk joined", for a moment after it happened; else null. */
export function useCompanyNotice(audience: Audience | null): string | null {
  const known = useRef<readonly string[] | null>(null);
  const [notice, setNotice] = useState<string | null>(null);
  useEffect(() => {
    const before = known.current;
    known.current = audience?.names ?? null;
    if (before === null || audience === null) return;
    const changed = whatChanged(before, audience.names);
    if (changed !== null) setNotice(changed);
  }, [audience]);
  useEffect(() => {
    if (notice === null) return undefined;
    const over = setTimeout(() => setNotice(null), NOTICE_FOR);
    return () => clearTimeout(over);
  }, [notice]);
  return notice;
}
