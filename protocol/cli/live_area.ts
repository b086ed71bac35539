/** Lines at the bottom of a terminal, redrawn in place. Rule: the cursor comes back and nothing is left half drawn, however the program ends. */
import type { Terminal } from "./terminal.ts";
import { textWidth } from "./visible_text.ts";

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const CLEAR_DOWN = "\x1b[J";
const CLEAR_LINE = "\x1b[K";
// deno-lint-ignore no-control-regex
const ESCAPES = /\x1b\[[0-9;]*m/g;

export interface LiveArea {
  /** Replaces what was drawn before. Lines wider than the terminal would break the picture: cut them first. */
  draw(lines: readonly string[]): void;
  /** Prints lines that stay, above the area. */
  printAbove(lines: readonly string[]): void;
  /** Leaves the last picture where it is and gives the cursor back; also what happens on exit. */
  close(): void;
}

/** An area on standard error. Draw less than the terminal's rows. */
export function createLiveArea(terminal: Terminal): LiveArea {
  let drawn: readonly string[] = [];
  let isHidden = false;
  let isClosed = false;

  const show = () => {
    if (isHidden) terminal.err(SHOW_CURSOR);
    isHidden = false;
  };
  const forgetExit = terminal.onExit(show);
  const toTop = (): string => {
    // After the window got narrower, what was one line may fill several rows.
    const { columns } = terminal.size();
    const rows = drawn.reduce((sum, line) => sum + rowsOf(line, columns), 0);
    return rows === 0 ? "" : `\r\x1b[${rows}A`;
  };
  const picture = (lines: readonly string[]) => lines.map((l) => `${l}${CLEAR_LINE}\n`).join("");

  return {
    draw(lines) {
      if (isClosed) return;
      const hide = isHidden ? "" : HIDE_CURSOR;
      isHidden = true;
      terminal.err(`${hide}${toTop()}${picture(lines)}${CLEAR_DOWN}`);
      drawn = [...lines];
    },
    printAbove(lines) {
      terminal.err(`${toTop()}${picture(lines)}${picture(drawn)}${CLEAR_DOWN}`);
    },
    close() {
      isClosed = true;
      show();
      forgetExit();
    },
  };
}

function rowsOf(line: string, columns: number): number {
  return Math.max(1, Math.ceil(textWidth(line.replace(ESCAPES, "")) / columns));
}
