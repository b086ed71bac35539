/** What the page's bundle is made of. Rule: every file of ours that ends up in it, found by following imports, and the pins of packages. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import config from "../../deno.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const PAGE_ENTRY = "dashboard/page/main.tsx";
export const PAGE_STYLE = "dashboard/page/page.css";

/** Imports that leave something in the bundle; types do not. */
const IMPORT = /^(?:import|export)\s+(?!type\b)(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm;

/** Repository paths, sorted, with their texts; packages are entries of their own. */
export function pageSources(): Map<string, string> {
  const found = new Map<string, string>();
  const waiting = [PAGE_ENTRY];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (found.has(path)) continue;
    const text = readFileSync(`${ROOT}${path}`, "utf8");
    found.set(path, text);
    for (const [, specifier] of text.matchAll(IMPORT)) {
      if (specifier!.startsWith(".")) {
        waiting.push(posix.normalize(posix.join(posix.dirname(path), specifier!)));
        continue;
      }
      const name = Object.keys(config.imports).find((own) =>
        specifier === own || specifier!.startsWith(`${own}/`)
      );
      if (name !== undefined) {
        found.set(specifier!, config.imports[name as keyof typeof config.imports]);
      }
    }
  }
  return new Map([...found].sort(([a], [b]) => a < b ? -1 : 1));
}

export function pageSourceHash(): string {
  const hash = createHash("sha256");
  for (const [path, text] of pageSources()) hash.update(`${path}\0${text}\0`);
  return hash.digest("hex");
}

export function styleSourceHash(): string {
  return createHash("sha256").update(readFileSync(`${ROOT}${PAGE_STYLE}`)).digest("hex");
}
