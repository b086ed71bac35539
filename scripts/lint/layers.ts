/** The project's own lint rules, named in deno.json. Rule: what the architecture promises, the linter checks. */
import { clockRule, noSleepingTestsRule } from "./clock_rule.ts";
import { headerRule } from "./header_rule.ts";
import { importRule } from "./import_rule.ts";

export default {
  name: "backup-agent",
  rules: {
    "layers": importRule,
    "clock": clockRule,
    "no-sleeping-tests": noSleepingTestsRule,
    "header": headerRule,
  },
} satisfies Deno.lint.Plugin;
