// The few pictures of the app: drawn with the text's colour, hidden from screen readers.

import type { ComponentChildren, JSX } from "preact";

function Icon({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <svg
      class="icon"
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const BackIcon = (): JSX.Element => <Icon><path d="M15 5l-7 7 7 7" /></Icon>;
export const PlusIcon = (): JSX.Element => <Icon><path d="M12 5v14M5 12h14" /></Icon>;
export const SettingsIcon = (): JSX.Element => (
  <Icon>
    <path d="M4 7h9M17 7h3M4 17h3M11 17h9" />
    <circle cx="15" cy="7" r="2" />
    <circle cx="9" cy="17" r="2" />
  </Icon>
);
export const MoreIcon = (): JSX.Element => (
  <Icon>
    <circle cx="5" cy="12" r=".8" fill="currentColor" />
    <circle cx="12" cy="12" r=".8" fill="currentColor" />
    <circle cx="19" cy="12" r=".8" fill="currentColor" />
  </Icon>
);
export const ShellIcon = (): JSX.Element => <Icon><path d="M6 8l4 4-4 4M12.5 16H18" /></Icon>;
export const AgentIcon = (): JSX.Element => (
  <Icon><path d="M12 4l1.9 5.1L19 11l-5.1 1.9L12 18l-1.9-5.1L5 11l5.1-1.9z" /></Icon>
);
export const EyeIcon = (): JSX.Element => (
  <Icon>
    <path d="M2.5 12S6 5.8 12 5.8 21.5 12 21.5 12 18 18.2 12 18.2 2.5 12 2.5 12z" />
    <circle cx="12" cy="12" r="2.6" />
  </Icon>
);
export const FitIcon = (): JSX.Element => (
  <Icon><path d="M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5" /></Icon>
);
export const PlayIcon = (): JSX.Element => <Icon><path d="M8 5.5v13l10.5-6.5z" /></Icon>;
export const LoopIcon = (): JSX.Element => (
  <svg class="loop" viewBox="60 160 392 200" fill="none" aria-hidden="true">
    <path
      d="M256 256c-34-50-64-74-98-74a74 74 0 0 0 0 148c34 0 64-24 98-74s64-74 98-74a74 74 0 0 1 0 148"
      stroke="var(--accent)"
      stroke-width="38"
      stroke-linecap="round"
    />
    <rect x="266" y="311" width="44" height="38" rx="6" fill="var(--text)" />
  </svg>
);
