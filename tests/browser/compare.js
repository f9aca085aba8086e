// Looks at xterm.js terminals cell by cell, in the page of the picture tests.

/** A fresh terminal as the app makes it, outside of what is shown. */
function open(Emulator, size) {
  const home = document.createElement("div");
  document.body.append(home);
  let title = "";
  const emulator = new Emulator(
    home,
    { scrollback: 10_000, fontSize: 14, dark: true },
    { typed: () => {}, title: (text) => (title = text) },
  );
  emulator.reset(size);
  return {
    terminal: emulator.terminal,
    write: (bytes) => new Promise((done) => emulator.write(bytes, done)),
    view: () => ({ ...view(emulator.terminal), title }),
    close: () => {
      emulator.dispose();
      home.remove();
    },
  };
}

/** All that can be seen of a terminal, and how the next output will fall on it. */
function view(terminal) {
  const core = terminal._core;
  const look = core._inputHandler._curAttrData;
  const state = {
    ...terminal.modes,
    ...core.coreService.decPrivateModes,
    active: terminal.buffer.active.type,
    cursorHidden: core.coreService.isCursorHidden,
    look: [
      ...palette(look.getFgColorMode(), look.getFgColor()),
      ...palette(look.getBgColorMode(), look.getBgColor()),
      look.fg >> 26,
      look.bg >> 26,
    ].join(),
    charset: core._charsetService.glevel,
    drawing: core._charsetService._charsets.map((set) => (set ? Object.keys(set).length : 0)).join(),
    mouse: `${core.coreMouseService.activeProtocol} ${core.coreMouseService.activeEncoding}`,
  };
  for (const name of ["normal", "alt"]) {
    const buffer = core.buffers[name];
    state[`${name} region`] = `${buffer.scrollTop}-${buffer.scrollBottom}`;
    state[`${name} cursor`] = `${buffer.x},${buffer.y}`;
    state[`${name} scrolled`] = buffer.ybase;
    state[`${name} saved cursor`] = `${buffer.savedX},${buffer.savedY}`;
    // A stop in the first column stops nothing.
    state[`${name} tabs`] = Object.keys(buffer.tabs).filter((x) => x > 0 && buffer.tabs[x]).join();
  }
  // Nothing is kept of an alternate screen that is not shown.
  if (state.active === "normal") for (const key in state) if (key.startsWith("alt ")) delete state[key];
  const links = core._oscLinkService;
  const rows = { normal: rowsOf(terminal.buffer.normal, terminal.cols, links) };
  if (state.active === "alternate") rows.alternate = rowsOf(terminal.buffer.alternate, terminal.cols, links);
  return { state, rows };
}

const FLAGS = ["Bold", "Italic", "Dim", "Underline", "Blink", "Inverse", "Invisible", "Strikethrough", "Overline"];

const SEEN_ON_BLANKS = /Underline|Inverse|Strikethrough|Overline|link/;

/** Each row as the cells of one look, one after another. */
function rowsOf(buffer, cols, links) {
  const rows = [];
  let cell;
  for (let y = 0; y < buffer.length; y++) {
    const line = buffer.getLine(y);
    const runs = [];
    let before = null;
    for (let x = 0; x < cols; x++) {
      cell = line.getCell(x, cell);
      const look = lookOf(cell, links);
      if (look !== before) runs.push(`<${look}>`);
      before = look;
      // A cell that nothing was written to looks as one with a space.
      runs.push(cell.getWidth() === 1 ? cell.getChars() || " " : `${cell.getChars()}/${cell.getWidth()}`);
    }
    rows.push((line.isWrapped ? "+" : "|") + runs.join("").replace(/ +$/, ""));
  }
  return rows;
}

function lookOf(cell, links) {
  const flags = FLAGS.filter((flag) => cell[`is${flag}`]());
  const { underlineStyle, underlineColor, urlId } = cell.hasExtendedAttrs() ? cell.extended : {};
  if (cell.isUnderline() && underlineStyle) flags.push(`line${underlineStyle}:${underlineColor & 0x3ffffff}`);
  if (urlId) flags.push(`link ${links.getLinkData(urlId)?.uri}`);
  if (cell.getChars().trim() === "" && !flags.some((flag) => SEEN_ON_BLANKS.test(flag))) {
    // Half of a wide letter that was printed over keeps a colour in xterm.js, and not on the host.
    return palette(cell.getBgColorMode(), cell.getBgColor()).join();
  }
  return [
    ...palette(cell.getFgColorMode(), cell.getFgColor()),
    ...palette(cell.getBgColorMode(), cell.getBgColor()),
    ...flags,
  ].join();
}

/** The first 16 colours of the palette have two names (SGR 31 and 38;5;1), and look the same. */
function palette(mode, colour) {
  return [mode === 0x2000000 && colour < 16 ? 0x1000000 : mode, colour];
}

/**
 * What differs between two views, in words; nothing if they are the same. Without `wraps` it does
 * not matter which rows go on from the one before.
 */
function differences(one, other, wraps) {
  const found = [];
  const marked = (row) => (wraps ? row : row?.slice(1));
  for (const key of Object.keys({ ...one.state, ...other.state })) {
    if (one.state[key] !== other.state[key]) found.push(`${key}: ${one.state[key]} / ${other.state[key]}`);
  }
  if (one.title !== other.title) found.push(`title: ${one.title} / ${other.title}`);
  for (const name of Object.keys({ ...one.rows, ...other.rows })) {
    const [mine, theirs] = [one.rows[name] ?? [], other.rows[name] ?? []];
    if (mine.length !== theirs.length) found.push(`${name}: ${mine.length} / ${theirs.length} rows`);
    mine.forEach((row, y) => {
      if (marked(row) !== marked(theirs[y])) found.push(`${name} row ${y}:\n    ${row}\n    ${theirs[y]}`);
    });
  }
  return found.slice(0, 12);
}

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/**
 * Write all of a recording to one terminal, and for each cut a picture and what follows to another;
 * what differs right at a cut and at the end, by cut.
 */
async function compare({ module, recording, pictures, size, wraps }) {
  const { Emulator } = await import(module);
  const bytes = bytesOf(recording);
  const whole = open(Emulator, size);
  const found = {};
  const others = [];
  let written = 0;
  for (const { cut, picture } of pictures) {
    await whole.write(bytes.subarray(written, cut));
    written = cut;
    const other = open(Emulator, size);
    await other.write(bytesOf(picture));
    found[`at ${cut}`] = differences(whole.view(), other.view(), wraps);
    await other.write(bytes.subarray(cut));
    others.push({ cut, view: other.view() });
    other.close();
  }
  await whole.write(bytes.subarray(written));
  const end = whole.view();
  for (const { cut, view } of others) found[`after ${cut}`] = differences(end, view, wraps);
  whole.close();
  return Object.fromEntries(Object.entries(found).filter(([, each]) => each.length > 0));
}

/** How many columns the page gives each character from `first` to `last`, a digit each. */
async function pageWidths({ module, first, last }) {
  const { Emulator } = await import(module);
  const one = open(Emulator, { cols: 8, rows: 1 });
  const { unicodeService } = one.terminal._core;
  let widths = "";
  for (let code = first; code <= last; code++) widths += unicodeService.wcwidth(code);
  one.close();
  return widths;
}

/** Where the cursor stands after each of `texts`. */
async function columnsAfter({ module, texts }) {
  const { Emulator } = await import(module);
  const one = open(Emulator, { cols: 80, rows: 2 });
  const columns = [];
  for (const text of texts) {
    await one.write(new TextEncoder().encode(`\x1bc${text}`));
    columns.push(one.terminal.buffer.active.cursorX);
  }
  one.close();
  return columns;
}
