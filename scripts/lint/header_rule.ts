/** Every file says first what lives in it and which rule it keeps. Rule: tests need not, their names say it. */
import { repositoryPath } from "./repository_path.ts";

/** True when the text opens with a doc comment that says something; a `#!` line may come first. */
export function hasHeader(text: string): boolean {
  return /^(?:#!.*\n)?\/\*\*[\s*]*[^\s*/]/.test(text);
}

export const headerRule: Deno.lint.Rule = {
  create(context) {
    const file = repositoryPath(context.filename);
    if (file === undefined || !file.endsWith(".ts") || /_(test|bench)\.ts$/.test(file)) return {};
    return {
      Program(node) {
        if (hasHeader(context.sourceCode.text)) return;
        context.report({
          range: [node.range[0], Math.min(node.range[1], node.range[0] + 1)],
          message: "The file does not open with a /** comment",
          hint: "Say in one to three lines what lives here and the rule it keeps",
        });
      },
    };
  },
};
