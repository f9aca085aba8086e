// What this page calls itself in introductions and in the settings.

export const VERSION = __APP_VERSION__;

declare const __APP_VERSION__: string;
