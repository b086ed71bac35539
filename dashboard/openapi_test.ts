import assert from "node:assert/strict";
import { openApiDocument } from "./openapi.ts";
import { referencePage } from "./reference_page.ts";
import { OPERATIONS } from "./operations/table.ts";
import { html } from "./html.ts";

Deno.test("the OpenAPI document describes every operation once, with its parameters, body and answer", () => {
  const document = openApiDocument("1.2.3") as {
    openapi: string;
    paths: Record<string, Record<string, Record<string, never>>>;
  };
  assert.match(document.openapi, /^3\.1\./);
  const ids: string[] = [];
  for (const [path, methods] of Object.entries(document.paths)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    for (const [method, operation] of Object.entries(methods)) {
      const facts = operation as unknown as {
        operationId: string;
        summary: string;
        parameters: { name: string; in: string; required: boolean }[];
        requestBody?: unknown;
        responses: Record<string, unknown>;
      };
      ids.push(facts.operationId);
      assert.ok(facts.summary.length > 5, path);
      const inPath = facts.parameters.filter((p) => p.in === "path");
      assert.deepEqual(inPath.map((p) => p.name), named, `${method} ${path}`);
      assert.ok(inPath.every((p) => p.required));
      assert.ok("default" in facts.responses);
      if (method === "get") assert.equal(facts.requestBody, undefined, path);
    }
  }
  assert.deepEqual(ids.sort(), OPERATIONS.map((o) => o.name).sort());
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.length >= 29);
  // Everything in it can be sent as JSON, and every reference leads somewhere.
  const text = JSON.stringify(document);
  for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    assert.equal(name, "Problem");
  }
});

Deno.test("the reference page names every operation, and markup in a text stays text", () => {
  const { text } = referencePage("1.2.3");
  for (const { name, path } of OPERATIONS) {
    assert.ok(text.includes(`id="${name}"`), name);
    assert.ok(text.includes(`/api${path}`), path);
  }
  assert.doesNotMatch(text, /<script/);
  assert.equal(
    html`<p title="${`"><img src=x onerror=alert(1)>`}">${"<b>&'"}</p>`.text,
    '<p title="&quot;&gt;&lt;img src=x onerror=alert(1)&gt;">&lt;b&gt;&amp;&#39;</p>',
  );
});
