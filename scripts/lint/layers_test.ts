import assert from "node:assert/strict";
import plugin from "./layers.ts";
import { LAYERS } from "./layer_table.ts";
import { REPOSITORY_ROOT } from "./repository_path.ts";

const HEADER = "/** What lives here. */\n";

/** Ids of the rules that complain, without the plugin's name, one an error. */
function complaints(path: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, `${REPOSITORY_ROOT}${path}`, source)
    .map((found) => found.id.replace("backup-agent/", ""));
}

function good(path: string, body: string): void {
  assert.deepEqual(complaints(path, HEADER + body), [], `${path}: ${body}`);
}

function bad(path: string, body: string, rule: string): void {
  assert.deepEqual(complaints(path, HEADER + body), [rule], `${path}: ${body}`);
}

Deno.test("imports that follow the layer table pass", () => {
  good("protocol/base/x.ts", 'import { a } from "./y.ts";');
  good("protocol/rpc/x.ts", 'import { a } from "../base/y.ts";');
  good("protocol/a2a/x.ts", 'import { a } from "../rpc/y.ts";');
  good("protocol/http/x.ts", 'import { a } from "../a2a/y.ts";');
  good("agents/worker/x.ts", 'import { a } from "../strategies/mirror/y.ts";');
  good("agents/strategies/x.ts", 'import { a } from "../queue/y.ts";');
  good("coordinator/scheduler/x.ts", 'import type { A } from "../../protocol/mesh/job.ts";');
  good("coordinator/api/x.ts", 'import { a } from "../scheduler/plan.ts";');
  good("mod.ts", 'import { a } from "./agents/y.ts"; import { b } from "./coordinator/y.ts";');
  good("tests/x_test.ts", 'import "../mod.ts"; import { b } from "../agents/worker/y.ts";');
  good("agents/queue/x_test.ts", 'import { M } from "../../tests/support/manual_clock.ts";');
  good("coordinator/store/x_suite.ts", 'import { M } from "../../tests/support/y.ts";');
});

Deno.test("packages pinned in deno.json and node built-ins pass", () => {
  good("coordinator/store/x.ts", 'import { DatabaseSync } from "node:sqlite";');
  good("protocol/http/x.ts", 'import { Hono } from "hono"; import { cors } from "hono/cors";');
});

Deno.test("the big rooms never import each other, nor the protocol any of them", () => {
  bad("protocol/http/x.ts", 'import { a } from "../../agents/y.ts";', "layers");
  bad("agents/x.ts", 'import { a } from "../coordinator/y.ts";', "layers");
  bad("agents/cli/x.ts", 'import { a } from "../../dashboard/main.ts";', "layers");
  bad("coordinator/x.ts", 'import { a } from "../agents/y.ts";', "layers");
  bad("dashboard/main.ts", 'import { a } from "../coordinator/api/y.ts";', "layers");
  bad("agents/threads/x.ts", 'import { main } from "../../mod.ts";', "layers");
});

Deno.test("inside the rooms the lower folders know nothing of the higher ones", () => {
  bad("protocol/base/x.ts", 'import { a } from "../rpc/y.ts";', "layers");
  bad("protocol/rpc/x.ts", 'import { a } from "../mesh/y.ts";', "layers");
  bad("protocol/a2a/x.ts", 'import { a } from "../mesh/y.ts";', "layers");
  for (const folder of ["strategies", "queue", "repository", "worker"]) {
    bad("agents/destinations/x.ts", `import { a } from "../${folder}/y.ts";`, "layers");
    bad("agents/platform/x.ts", `import { a } from "../${folder}/y.ts";`, "layers");
  }
  bad("agents/queue/x.ts", 'import { a } from "../strategies/y.ts";', "layers");
  bad("agents/queue/x.ts", 'import { a } from "../worker/y.ts";', "layers");
  bad("coordinator/scheduler/x.ts", 'import { a } from "../store/y.ts";', "layers");
  bad("scripts/x.ts", 'import { a } from "../agents/y.ts";', "layers");
});

Deno.test("the program imports neither tests nor scripts", () => {
  bad("agents/x.ts", 'import { a } from "../tests/support/y.ts";', "layers");
  bad("mod.ts", 'import { a } from "./scripts/y.ts";', "layers");
  bad("coordinator/store/x.ts", 'import { a } from "./job_store_suite.ts";', "layers");
});

Deno.test("every form of import counts", () => {
  const target = '"../../coordinator/y.ts"';
  bad("agents/queue/x.ts", `import type { A } from ${target};`, "layers");
  bad("agents/queue/x.ts", `import { type A } from ${target};`, "layers");
  bad("agents/queue/x.ts", `import ${target};`, "layers");
  bad("agents/queue/x.ts", `export { a } from ${target};`, "layers");
  bad("agents/queue/x.ts", `export * from ${target};`, "layers");
  bad("agents/queue/x.ts", `export const a = await import(${target});`, "layers");
  bad("agents/queue/x.ts", `export type A = import(${target}).A;`, "layers");
  bad("agents/queue/x.ts", "export const load = (name: string) => import(name);", "layers");
});

Deno.test("local code is never reached by an alias, a URL or an absolute path", () => {
  for (const specifier of ["@/agents/y.ts", "agents/y.ts", "#y", "/etc/y.ts", "file:///y.ts"]) {
    bad("agents/x.ts", `import { a } from "${specifier}";`, "layers");
  }
  bad("agents/x.ts", 'import { a } from "npm:left-pad@1.0.0";', "layers");
  bad("agents/x.ts", 'import { a } from "../../elsewhere/y.ts";', "layers");
});

Deno.test("only protocol/base, scripts and tests read the clock or roll dice", () => {
  const readings = [
    "export const t = Date.now();",
    "export const now = Date.now;",
    'export const t = Date["now"]();',
    "export const t = performance.now();",
    "export const r = Math.random();",
    "export const t = new Date();",
    "export const t = Date();",
    "setTimeout(() => {}, 0);",
    "globalThis.setTimeout(() => {}, 5);",
    "setInterval(() => {}, 5);",
  ];
  for (const body of readings) {
    bad("agents/queue/x.ts", body, "clock");
    bad("mod.ts", body, "clock");
    good("protocol/base/x.ts", body);
    good("scripts/x.ts", body);
    good("tests/support/x.ts", body);
  }
  bad("agents/x.ts", 'import { setTimeout } from "node:timers/promises";', "layers");
  good("agents/x.ts", "export const t = new Date(0).toISOString();");
  good("agents/x.ts", "export const x = Math.max(1, 2); clearTimeout(1);");
});

Deno.test("a test beside the code must not sleep", () => {
  bad("agents/queue/x_test.ts", "setTimeout(() => {}, 20);", "no-sleeping-tests");
  bad("agents/queue/x_test.ts", "globalThis.setTimeout(() => {}, 1);", "no-sleeping-tests");
  good("agents/queue/x_test.ts", "setTimeout(() => {}, 0);");
  good("tests/process_test.ts", "setTimeout(() => {}, 20);");
});

Deno.test("a file without a header is refused, a test is not", () => {
  for (const source of ["export const a = 1;", "// note\nexport {};", "/** */\nexport {};"]) {
    assert.deepEqual(complaints("agents/x.ts", source), ["header"], source);
    assert.deepEqual(complaints("agents/x_test.ts", source), [], source);
  }
  assert.deepEqual(complaints("agents/x.ts", "/**\n * What it is.\n */\nexport {};"), []);
  assert.deepEqual(complaints("scripts/x.ts", "#!/usr/bin/env deno\n/** A tool. */\n"), []);
});

Deno.test("every line of the layer table refuses something and gives its reason", () => {
  for (const layer of LAYERS) {
    assert.ok(layer.only !== undefined || layer.never !== undefined, layer.in);
    assert.match(layer.because, /\w+ \w+/);
  }
});
