/**
 * Time and randomness have one door. Rule: only protocol/base reads the clock, sets timers or rolls dice; tests move
 * a clock by hand and never sleep.
 */
import { isFreeOfClock, liesIn } from "./layer_table.ts";
import { repositoryPath } from "./repository_path.ts";

const BANNED_MEMBERS: Record<string, readonly string[]> = {
  Date: ["now"],
  performance: ["now"],
  Math: ["random"],
  globalThis: ["setTimeout", "setInterval"],
};
const BANNED_CALLS = ["setTimeout", "setInterval"];
const HINT = "Take a Clock or ids from protocol/base as a dependency";

export const clockRule: Deno.lint.Rule = {
  create(context) {
    const file = repositoryPath(context.filename);
    if (file === undefined || isFreeOfClock(file)) return {};
    const report = (node: Deno.lint.Node, what: string): void =>
      context.report({ node, message: `${what} outside protocol/base`, hint: HINT });
    return {
      MemberExpression(node) {
        if (node.object.type !== "Identifier") return;
        const property = memberName(node);
        if (property !== undefined && BANNED_MEMBERS[node.object.name]?.includes(property)) {
          report(node, `${node.object.name}.${property}`);
        }
      },
      CallExpression(node) {
        if (node.callee.type !== "Identifier") return;
        if (BANNED_CALLS.includes(node.callee.name)) report(node, node.callee.name);
        // Date() as a function is the time now, whatever it is given.
        if (node.callee.name === "Date") report(node, "Date()");
      },
      NewExpression(node) {
        if (node.callee.type !== "Identifier" || node.callee.name !== "Date") return;
        if (node.arguments.length === 0) report(node, "new Date() without a time");
      },
    };
  },
};

/** In tests beside the code, `setTimeout(…, 20)` is a guess at how long something takes. */
export const noSleepingTestsRule: Deno.lint.Rule = {
  create(context) {
    const file = repositoryPath(context.filename);
    if (file === undefined || !file.endsWith("_test.ts") || liesIn(file, "tests")) return {};
    return {
      CallExpression(node) {
        const { callee } = node;
        const name = callee.type === "Identifier"
          ? callee.name
          : callee.type === "MemberExpression"
          ? memberName(callee)
          : undefined;
        if (name !== "setTimeout") return;
        const delay = node.arguments[1];
        if (delay?.type === "Literal" && typeof delay.value === "number" && delay.value > 0) {
          context.report({
            node,
            message: "A test must not sleep",
            hint: "Move tests/support/manual_clock.ts, or wait for the event itself",
          });
        }
      },
    };
  },
};

function memberName(node: Deno.lint.MemberExpression): string | undefined {
  if (!node.computed && node.property.type === "Identifier") return node.property.name;
  if (node.property.type === "Literal" && typeof node.property.value === "string") {
    return node.property.value;
  }
  return undefined;
}
