import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import config from "../deno.json" with { type: "json" };
import { hasHeader } from "../scripts/lint/header_rule.ts";
import { isTestFile } from "../scripts/lint/layer_table.ts";
import { REPOSITORY_ROOT } from "../scripts/lint/repository_path.ts";
import { permissionFlags } from "../scripts/pack/command_line.ts";

/** AssemblyScript: compiled by a tool of its own, which adds the endings of imported files. */
const ASSEMBLY = "agents/kernels/assembly/";
const ROOMS = ["protocol", "agents", "coordinator", "dashboard", "tests", "scripts"];

const files: string[] = [
  "mod.ts",
  ...ROOMS.filter((room) => existsSync(`${REPOSITORY_ROOT}${room}`)).flatMap((room) =>
    readdirSync(`${REPOSITORY_ROOT}${room}`, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts")).map((path) => `${room}/${path}`)
      .filter((path) => !path.startsWith(ASSEMBLY))
  ),
];
const program = files.filter((path) => !isTestFile(path) && !path.startsWith("scripts/"));
const textOf = (path: string): string => readFileSync(`${REPOSITORY_ROOT}${path}`, "utf8");

interface Import {
  from: string;
  to: string;
}

/** Relative imports and re-exports of a file as repository paths. */
function importsOf(file: string): Import[] {
  const pattern =
    /^(?:import|export|\})[^"'`;]*?\bfrom "(\.[^"]+)"|^import "(\.[^"]+)"|\bimport\("(\.[^"]+)"\)/gm;
  return [...textOf(file).matchAll(pattern)].map((match) => ({
    from: file,
    to: posix.join(posix.dirname(file), match.slice(1).find((path) => path !== undefined)!),
  }));
}

/** Each way round a circle of imports, when files with the same name by `unitOf` count as one. */
function circles(unitOf: (path: string) => string): string[] {
  const edges = new Map<string, Map<string, Import>>();
  for (const edge of program.flatMap(importsOf)) {
    const [from, to] = [unitOf(edge.from), unitOf(edge.to)];
    if (from === to && edge.from !== edge.to) continue;
    if (!edges.has(from)) edges.set(from, new Map());
    edges.get(from)!.set(to, edge);
  }
  assert.ok(edges.size > 3, "the imports were found");

  const found: string[] = [];
  const done = new Set<string>();
  const visit = (unit: string, trail: string[]): void => {
    if (trail.includes(unit)) {
      const circle = [...trail.slice(trail.indexOf(unit)), unit];
      const steps = circle.slice(1).map((to, i) => edges.get(circle[i]!)!.get(to)!);
      found.push(steps.map((step) => `${step.from} imports ${step.to}`).join("\n  "));
      return;
    }
    if (done.has(unit)) return;
    for (const to of edges.get(unit)?.keys() ?? []) visit(to, [...trail, unit]);
    done.add(unit);
  };
  for (const unit of edges.keys()) visit(unit, []);
  return found;
}

Deno.test("no two folders import each other, directly or through others", () => {
  // `coordinator/store` with all below it is one folder: a port may lie beside the folders of its kinds.
  // deno.json is facts and imports nothing, though it lies beside mod.ts.
  const folder = (path: string): string =>
    path === "deno.json" ? path : posix.dirname(path).split("/").slice(0, 2).join("/");
  const found = circles(folder);
  assert.deepEqual(found, [], found.join("\n\n"));
});

Deno.test("no two files import each other, directly or through others", () => {
  const found = circles((path) => path);
  assert.deepEqual(found, [], found.join("\n\n"));
});

Deno.test("every file that is no test opens with a header comment", () => {
  const bare = files.filter((path) => !/_(test|bench)\.ts$/.test(path) && !hasHeader(textOf(path)));
  assert.deepEqual(bare, []);
});

Deno.test("every imported file exists, text and WASM assets included", () => {
  const lost = program.flatMap(importsOf)
    .filter((edge) => !existsSync(`${REPOSITORY_ROOT}${edge.to}`))
    .map((edge) => `${edge.from} imports ${edge.to}`);
  assert.deepEqual(lost, []);
});

Deno.test("the backup and agent tasks may do the same", () => {
  const { backup, agent } = config.tasks;
  assert.deepEqual(permissionFlags(backup), permissionFlags(agent));
});
