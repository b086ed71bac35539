/** Help texts. Rule: made from the same tables that parse and exit, so they cannot disagree. */
import type { Command } from "./command.ts";
import { EXIT_MEANINGS } from "./exit_codes.ts";
import { envName, isSwitch, type Option } from "./option.ts";
import { COMMON_FLAGS, type OptionKey, optionOf } from "./options.ts";

const PROGRAM = "backup-agent";
const WIDTH = 100;
const LONGEST_LABEL = 28;

/** What `--help` of a command prints. */
export function commandHelp(command: Command): string {
  return [
    `${command.summary}.`,
    section("Usage", command.synopsis.map((words) => `  ${PROGRAM} ${words}`)),
    ...command.about.map((paragraph) => wrap(paragraph, WIDTH).join("\n")),
    section("Options", [
      ...command.options.flatMap((key) => optionLines(rowOf(key, command))),
      ...common(),
    ]),
    section(
      "Examples",
      command.examples.flatMap(({ says, words }) => [`  # ${says}`, `  ${PROGRAM} ${words}`]),
    ),
    section(
      "Exit codes",
      command.exitCodes.flatMap((code) =>
        labelled(String(code).padStart(3), command.exitMeanings?.[code] ?? EXIT_MEANINGS[code], 5)
      ),
    ),
  ].filter((part) => part !== "").join("\n\n") + "\n";
}

/** What `backup-agent --help` prints. */
export function programHelp(
  { commands, roles, start, version }: {
    commands: readonly Command[];
    roles: Readonly<Record<string, Command>>;
    start?: Command;
    version: string;
  },
): string {
  const named = Object.entries(roles);
  return [
    `${PROGRAM} ${version}: copies folders to several places at once and verifies every copy.`,
    section("Usage", [
      `  ${PROGRAM} COMMAND [OPTIONS]`,
      ...(named.length === 0 ? [] : [`  ${PROGRAM} --role ROLE [OPTIONS]`]),
      ...(start === undefined ? [] : [`  ${PROGRAM}`]),
    ]),
    section("Commands", commands.flatMap((c) => labelled(c.name, c.summary, 10))),
    section(
      "Roles",
      [
        ...named.flatMap(([name, role]) => labelled(name, role.summary, 11)),
        ...(start === undefined ? [] : labelled("(no words)", start.summary, 11)),
      ].slice(0, named.length === 0 ? 0 : undefined),
    ),
    section("Options", [
      ...labelled("-h, --help", "Show this help, or that of a command", LONGEST_LABEL),
      ...labelled("--version", "Show the version", LONGEST_LABEL),
    ]),
    section("Example", [`  ${PROGRAM} backup ~/Documents --to /mnt/ssd --to /mnt/nas`]),
    `Settings come from flags, then BACKUP_AGENT_* variables, then the configuration file.\n` +
    `\`${PROGRAM} COMMAND --help\` lists options, examples and exit codes of a command.`,
  ].filter((part) => part !== "").join("\n\n") + "\n";
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : [`${title}:`, ...lines].join("\n");
}

/** The row as it is in one command. */
function rowOf(key: OptionKey, { optionHelp, typedOnly }: Command): Option {
  const { defaultText, ...row } = optionOf(key);
  const isTyped = typedOnly?.includes(key) === true;
  return {
    ...row,
    ...(isTyped || defaultText === undefined ? {} : { defaultText }),
    lasting: row.lasting && !isTyped,
    help: optionHelp?.[key] ?? row.help,
  };
}

function optionLines(row: Option): string[] {
  const short = row.short === undefined ? "" : `-${row.short}, `;
  const flag = `--${row.shownNegated ? "no-" : ""}${row.flag}`;
  const value = isSwitch(row)
    ? ""
    : row.words === undefined
    ? ` ${row.placeholder}`
    : `[=${row.placeholder}]`;
  const notes = [
    ...(row.repeatable ? ["repeatable"] : []),
    ...(row.defaultText === undefined ? [] : [`default ${row.defaultText}`]),
    ...(row.lasting ? [environmentNote(row)] : []),
  ];
  const help = notes.length === 0 ? row.help : `${row.help} [${notes.join("; ")}]`;
  return labelled(`${short}${flag}${value}`, help, LONGEST_LABEL);
}

/** The variable, and where its name alone would mislead, what to write into it. */
function environmentNote(row: Option): string {
  if (row.repeatable) return `${envName(row)}, one a line`;
  return row.shownNegated ? `${envName(row)}=false` : envName(row);
}

function common(): string[] {
  const { config, help } = COMMON_FLAGS;
  return [
    ...labelled(
      `--${config.flag} ${config.placeholder}`,
      `${config.help} [default ${config.defaultText}; ${config.env}]`,
      LONGEST_LABEL,
    ),
    ...labelled(`-${help.short}, --${help.flag}`, help.help, LONGEST_LABEL),
  ];
}

/** `  label   text`, the text wrapped in its own column; a long label gets a line of its own. */
function labelled(label: string, text: string, labelColumns: number): string[] {
  const indent = " ".repeat(labelColumns + 4);
  const lines = wrap(text, WIDTH - indent.length);
  if (label.length > labelColumns) return [`  ${label}`, ...lines.map((l) => indent + l)];
  return lines.map((line, i) =>
    i === 0 ? `  ${label.padEnd(labelColumns)}  ${line}` : indent + line
  );
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}
