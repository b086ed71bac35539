/**
 * Bundles dashboard/page to dashboard/assets/page.js and page.css. Rule: the output is committed with the hash of its sources,
 * so that a checkout needs no bundler and a test sees when the two have parted.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import {
  PAGE_ENTRY,
  PAGE_STYLE,
  pageSourceHash,
  styleSourceHash,
} from "../tests/support/page_sources.ts";

const SCRIPT = "dashboard/assets/page.js";
const STYLE = "dashboard/assets/page.css";

if (import.meta.main) {
  write(SCRIPT, `/* sources ${pageSourceHash()} */\n${await bundle()}`);
  const style = readFileSync(PAGE_STYLE, "utf8");
  write(STYLE, `/* sources ${styleSourceHash()} */\n${smaller(style)}`);
}

/** @throws {Error} with the bundler's words */
async function bundle(): Promise<string> {
  const args = ["bundle", "--quiet", "--minify", "--platform", "browser", PAGE_ENTRY];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** Without comments and indentation. */
function smaller(style: string): string {
  return style.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s+/gm, "").replace(/\n+/g, "\n");
}

function write(path: string, text: string): void {
  writeFileSync(path, text);
  const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;
  const gzipped = gzipSync(text, { level: 9 }).length;
  console.log(`${path}: ${kilobytes(text.length)}, ${kilobytes(gzipped)} with gzip`);
}
