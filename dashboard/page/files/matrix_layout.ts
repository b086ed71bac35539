/** Files × destinations as a field of cells. Rule: pure; every file has a cell at every destination, whatever the count. */

export const CELL_SIZES = [14, 10, 7, 5, 4, 3, 2] as const;
/** The cells of one destination should not be higher than this, when a smaller size can help. */
const BAND_MAX = 260;

export interface MatrixLayout {
  cell: number;
  columns: number;
  rows: number;
  /** Of one destination, without its title. */
  bandHeight: number;
}

/** The largest cells with which a destination's files fit its band; `zoom` makes them that many steps larger. */
export function layOut(files: number, width: number, zoom = 0): MatrixLayout {
  const fitting = CELL_SIZES.findIndex((cell) => {
    const { bandHeight } = layoutOf(files, width, cell);
    return bandHeight <= BAND_MAX;
  });
  const at = Math.max(0, (fitting < 0 ? CELL_SIZES.length - 1 : fitting) - zoom);
  return layoutOf(files, width, CELL_SIZES[at]!);
}

function layoutOf(files: number, width: number, cell: number): MatrixLayout {
  const columns = Math.max(1, Math.floor(width / cell));
  const rows = Math.max(1, Math.ceil(files / columns));
  return { cell, columns, rows, bandHeight: rows * cell };
}

/** Which file lies under a point of a band; undefined beside them. */
export function fileAt(
  { cell, columns }: MatrixLayout,
  files: number,
  x: number,
  y: number,
): number | undefined {
  const column = Math.floor(x / cell);
  const index = Math.floor(y / cell) * columns + column;
  return x >= 0 && y >= 0 && column < columns && index < files ? index : undefined;
}

/** What a letter of `FileRow.marks` means. */
export const MARKS = {
  ".": { name: "waiting", tone: "waiting" },
  "c": { name: "copied", tone: "copied" },
  "v": { name: "verified", tone: "verified" },
  "=": { name: "unchanged", tone: "unchanged" },
  "r": { name: "recorded only", tone: "recorded" },
  "x": { name: "failed", tone: "failed" },
  "-": { name: "not there", tone: "missing" },
} as const;
export type Mark = keyof typeof MARKS;
export const MARK_LETTERS = Object.keys(MARKS) as Mark[];

export function markOf(marks: string, destination: number): Mark {
  const letter = marks[destination];
  return letter !== undefined && Object.hasOwn(MARKS, letter) ? letter as Mark : "-";
}
