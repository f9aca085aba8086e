// Ties between Preact and what it shows: watched values, the phone, a clock, the width.

import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import type { Phone } from "../phone";
import type { Watched } from "../watched";

export const PhoneContext = createContext<Phone | null>(null);

export function usePhone(): Phone {
  const phone = useContext(PhoneContext);
  if (phone === null) throw new Error("This screen is shown outside of the app.");
  return phone;
}

/** The value, now and after each change. */
export function useWatched<T>(watched: Watched<T>): T {
  const [, redraw] = useState(0);
  useEffect(() => {
    redraw((n) => n + 1); // it may have changed between drawing and watching
    return watched.watch(() => redraw((n) => n + 1));
  }, [watched]);
  return watched.value;
}

/** Seconds since 1970, often enough for ages in minutes. */
export function useNow(): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), 15_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

const WIDE = "(min-width: 900px)";

/** Whether list and terminal fit beside each other. */
export function useWide(): boolean {
  const [wide, setWide] = useState(() => matchMedia(WIDE).matches);
  useEffect(() => {
    const query = matchMedia(WIDE);
    const update = (): void => setWide(query.matches);
    query.addEventListener("change", update);
    return () => query.removeEventListener("change", update);
  }, []);
  return wide;
}
