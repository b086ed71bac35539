/** What the page is made of: the committed bundle is that of its sources, small, and asks nobody else. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { pageSourceHash, pageSources, styleSourceHash } from "../support/page_sources.ts";

const SCRIPT = readFileSync(new URL("../../dashboard/assets/page.js", import.meta.url), "utf8");
const STYLE = readFileSync(new URL("../../dashboard/assets/page.css", import.meta.url), "utf8");
const GZIP_BYTES_MAX = 120_000;

Deno.test("the committed page is the one of its sources (deno task build:page)", () => {
  assert.ok(SCRIPT.startsWith(`/* sources ${pageSourceHash()} */`));
  assert.ok(STYLE.startsWith(`/* sources ${styleSourceHash()} */`));
  assert.ok(pageSources().has("dashboard/page/views/overview.tsx"));
});

Deno.test("script and style are at most 120 kB gzipped", () => {
  const size = gzipSync(SCRIPT, { level: 9 }).length + gzipSync(STYLE, { level: 9 }).length;
  assert.ok(size <= GZIP_BYTES_MAX, `${size} bytes`);
});

Deno.test("the page names no other host and puts nothing into the document as markup", () => {
  const own = [...pageSources()].filter(([path]) => path.startsWith("dashboard/page/"));
  for (const [path, text] of own) {
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write/, path);
    assert.doesNotMatch(text, /https?:\/\//, path);
  }
  assert.doesNotMatch(STYLE, /url\(|@import/);
});
