/** JSON with comments and trailing commas. Rule: what is taken out becomes blanks, so error positions stay true. */

/** The value of a JSONC text. @throws {SyntaxError} as JSON.parse does. */
export function parseJsonc(text: string): unknown {
  return JSON.parse(blankTrailingCommas(blankComments(text.replace(/^\ufeff/, " "))));
}

const STRING_OR_COMMENT = /"(?:\\.|[^"\\])*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
const STRING_OR_COMMA = /"(?:\\.|[^"\\])*"|,(?=\s*[}\]])/g;

function blankComments(text: string): string {
  return text.replace(
    STRING_OR_COMMENT,
    (found) => found.startsWith('"') ? found : found.replace(/[^\n]/g, " "),
  );
}

function blankTrailingCommas(text: string): string {
  return text.replace(STRING_OR_COMMA, (found) => found === "," ? " " : found);
}
