/**
 * Imports keep to the layer table. Rule: type-only, dynamic and re-exporting imports count like any other; local code
 * is imported by relative path, so that this rule can see it.
 */
import { posix } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { isFreeOfClock, isTestFile, LAYERS, liesIn, OUTSIDE } from "./layer_table.ts";
import { repositoryPath } from "./repository_path.ts";

/** Bare names that lead to packages. An alias to a local path is not among them, so it is refused. */
const PACKAGES = Object.entries(config.imports)
  .filter(([, target]) => target.startsWith("npm:"))
  .map(([name]) => name);

/** What is wrong with importing `specifier` in `file` (repository paths), or undefined when nothing is. */
export function importFault(file: string, specifier: string): string | undefined {
  if (specifier.startsWith("node:")) {
    return specifier.startsWith("node:timers") && !isFreeOfClock(file)
      ? "Timers come from the Clock port (protocol/base/clock.ts)"
      : undefined;
  }
  if (!specifier.startsWith(".")) {
    return PACKAGES.some((name) => liesIn(specifier, name))
      ? undefined
      : `"${specifier}" is no package pinned in deno.json: import local code by relative path`;
  }
  const target = posix.normalize(posix.join(posix.dirname(file), specifier));
  if (target.startsWith("../")) return `"${specifier}" leads out of the repository`;
  // Data, not code: it holds the version and the pinned packages.
  if (target === "deno.json") return undefined;
  const outside = OUTSIDE.find((folder) => liesIn(target, folder));
  const fromOutside = OUTSIDE.some((folder) => liesIn(file, folder));
  if (outside !== undefined) {
    return fromOutside || isTestFile(file)
      ? undefined
      : `${file} is part of the program and must not import ${outside}/`;
  }
  if (isTestFile(target) && !isTestFile(file)) return `${target} is a test: only tests import it`;
  for (const layer of LAYERS) {
    if (!liesIn(file, layer.in)) continue;
    const allowed = layer.only?.some((folder) => liesIn(target, folder)) ?? true;
    const banned = layer.never?.some((folder) => liesIn(target, folder)) ?? false;
    if (!allowed || banned) return `${layer.in} must not import ${target}: ${layer.because}`;
  }
  return undefined;
}

export const importRule: Deno.lint.Rule = {
  create(context) {
    const file = repositoryPath(context.filename);
    if (file === undefined) return {};
    const check = (source: Deno.lint.Node | null | undefined): void => {
      if (source?.type !== "Literal" || typeof source.value !== "string") return;
      const fault = importFault(file, source.value);
      if (fault !== undefined) context.report({ node: source, message: fault });
    };
    return {
      ImportDeclaration: (node) => check(node.source),
      ExportNamedDeclaration: (node) => check(node.source),
      ExportAllDeclaration: (node) => check(node.source),
      TSImportType({ argument }) {
        check(argument.type === "TSLiteralType" ? argument.literal : argument as Deno.lint.Node);
      },
      ImportExpression(node) {
        check(node.source);
        if (node.source.type !== "Literal" && !isTestFile(file)) {
          context.report({ node, message: "A computed import cannot be bundled or checked" });
        }
      },
    };
  },
};
