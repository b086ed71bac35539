/**
 * The form of a view as a screen reader has it: roles, names, order. Rule: compared with a committed text, with what differs
 * between machines and runs taken out; pictures would differ by fonts alone.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Page } from "playwright-core";

const FOLDER = new URL("./sketches/", import.meta.url);
/** Set it to write the sketches anew, then look at what changed. */
const UPDATE = "UPDATE_SKETCHES";

/** Of everything that `selector` finds; `names` differ from run to run. */
export async function ariaSketch(
  page: Page,
  selector: string,
  names: readonly string[],
): Promise<string> {
  const parts = [];
  for (const part of await page.locator(selector).all()) parts.push(await part.ariaSnapshot());
  return names.reduce((text, name) => text.replaceAll(name, "NAME"), parts.join("\n"))
    .replace(/\b(agent|run|task|coordinator|worker|dashboard)-[\w-]+/g, "$1-ID")
    .replace(/\d[\d,.:\- ]*/g, "N ")
    .replace(/N +(B|kB|MB|GB|TB)\b/g, "N B")
    .replace(/just now|N (s|min) ago/g, "AGO")
    // When the room at a place is told depends on when it was looked at.
    .replace(/Free space is not known|N B free of N B/g, "FREE")
    .replace(/^ *- text: N B free\n/gm, "")
    .replace(/ N B free$/gm, "")
    .replace(/ +$/gm, "");
}

export function expectSketch(name: string, sketch: string): void {
  const file = new URL(name, FOLDER);
  if (Deno.env.get(UPDATE) === "1") {
    mkdirSync(FOLDER, { recursive: true });
    return writeFileSync(file, `${sketch}\n`);
  }
  assert.equal(`${sketch}\n`, readFileSync(file, "utf8"), `${name} (${UPDATE}=1 writes it anew)`);
}
