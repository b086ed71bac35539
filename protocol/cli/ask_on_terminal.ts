/** One line typed on a terminal without showing it. Rule: the terminal is as it was before, however the asking ends. */
import { BackupError } from "../base/errors.ts";

/** The part of standard input that is used. */
export interface TypingPort {
  setRaw(on: boolean): void;
  read(into: Uint8Array): Promise<number | null>;
}

const CTRL_C = 0x03;
const CTRL_D = 0x04;
const BACKSPACES = [0x08, 0x7f];
const CTRL_U = 0x15;
const LINE_ENDS = [0x0a, 0x0d];

/** Undefined when the terminal goes away. @throws {BackupError} `cancelled` for Ctrl-C */
export async function askOnTerminal(
  prompt: string,
  input: TypingPort,
  print: (text: string) => void,
): Promise<string | undefined> {
  print(prompt);
  // Without signals from the keyboard: one that ends the process here would leave the terminal silent.
  input.setRaw(true);
  try {
    return await readLine(input);
  } finally {
    input.setRaw(false);
    print("\n");
  }
}

async function readLine(input: TypingPort): Promise<string | undefined> {
  const typed: number[] = [];
  const some = new Uint8Array(1024);
  for (;;) {
    const got = await input.read(some);
    if (got === null) return undefined;
    for (const byte of some.subarray(0, got)) {
      if (byte === CTRL_C) throw new BackupError("cancelled", "Cancelled by Ctrl-C");
      if (LINE_ENDS.includes(byte)) return new TextDecoder().decode(Uint8Array.from(typed));
      if (byte === CTRL_D && typed.length === 0) return undefined;
      if (byte === CTRL_U) typed.length = 0;
      else if (BACKSPACES.includes(byte)) dropCharacter(typed);
      else if (byte !== CTRL_D) typed.push(byte);
    }
  }
}

/** The last character with all its bytes. */
function dropCharacter(typed: number[]): void {
  while (((typed.pop() ?? 0) & 0xc0) === 0x80);
}
