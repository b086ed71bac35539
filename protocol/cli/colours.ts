/** Colours and glyphs. Rule: a colour only repeats what text or shape already says, so dropping it loses nothing. */

export type Paint = (text: string) => string;

export interface Style {
  bold: Paint;
  dim: Paint;
  good: Paint;
  busy: Paint;
  warn: Paint;
  bad: Paint;
  glyphs: Glyphs;
}

export interface Glyphs {
  done: string;
  active: string;
  pending: string;
  failed: string;
  between: string;
  star: string;
  verified: string;
  copied: string;
  empty: string;
  dot: string;
}

const UNICODE: Glyphs = {
  done: "✓",
  active: "●",
  pending: "○",
  failed: "✗",
  between: " › ",
  star: "★",
  verified: "█",
  copied: "▓",
  empty: "░",
  dot: "·",
};

const ASCII: Glyphs = {
  done: "+",
  active: "*",
  pending: "-",
  failed: "!",
  between: " > ",
  star: "*",
  verified: "#",
  copied: "=",
  empty: ".",
  dot: "-",
};

/** The style for a stream: escape sequences only with `colours`, shapes beyond ASCII only with `unicode`. */
export function createStyle(has: { colours: boolean; unicode: boolean }): Style {
  const sgr = (code: string): Paint =>
    has.colours ? (text) => (text === "" ? "" : `\x1b[${code}m${text}\x1b[0m`) : (text) => text;
  return {
    bold: sgr("1"),
    dim: sgr("2"),
    good: sgr("32"),
    busy: sgr("34"),
    warn: sgr("33"),
    bad: sgr("31"),
    glyphs: has.unicode ? UNICODE : ASCII,
  };
}

export const PLAIN_STYLE: Style = createStyle({ colours: false, unicode: true });
