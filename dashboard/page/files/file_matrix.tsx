/** Every file at every destination as a cell. Rule: a cell that is missing is seen at once, and every cell can be read as text. */
import { useEffect, useRef, useState } from "preact/hooks";
import { formatBytes, formatCount, formatPlural } from "../../../protocol/cli/format.ts";
import { ask } from "../actions.ts";
import { usePage } from "../ui/page_context.ts";
import { useEvery } from "../ui/use_answer.ts";
import {
  type FilePages,
  isComplete,
  MATRIX_FILES_MAX,
  nextOffset,
  NO_FILES,
  PAGE_FILES,
  stretches,
  withPage,
} from "./file_pages.ts";
import { fileAt, layOut, MARK_LETTERS, markOf, MARKS, type MatrixLayout } from "./matrix_layout.ts";

const LOADING_EVERY_MS = 60;
const LIVE_EVERY_MS = 1_000;
const GAP = 1;

export interface FileMatrixProps {
  runId: string;
  isLive: boolean;
}

export function FileMatrix({ runId, isLive }: FileMatrixProps) {
  const { api, clock } = usePage();
  const [{ pages, of }, setShown] = useState<{ pages: FilePages; of: string }>({
    pages: NO_FILES,
    of: "",
  });
  const [problem, setProblem] = useState<string>();
  const [zoom, setZoom] = useState(0);
  const [cursor, setCursor] = useState(0);
  const [isSeen, setSeen] = useState(false);
  const last = useRef(-PAGE_FILES);
  const isAsking = useRef(false);
  const place = useRef<HTMLElement>(null);
  const [chosen, choose] = useState({ runId, first: 0 });
  const first = chosen.runId === runId ? chosen.first : 0;
  /** Whose files are shown; an answer about others comes too late. */
  const subject = `${runId} ${first}`;
  const latest = useRef(subject);
  latest.current = subject;

  useEffect(() => {
    // How many there are in all stays known while others of the same run are fetched.
    setShown((now) => ({
      of: subject,
      pages: {
        ...NO_FILES,
        first,
        rows: [],
        total: now.of.startsWith(`${runId} `) ? now.pages.total : 0,
      },
    }));
    setCursor(0);
    setProblem(undefined);
    last.current = -PAGE_FILES;
  }, [subject]);

  useEffect(() => {
    const watcher = new IntersectionObserver((entries) =>
      setSeen(entries.some((entry) => entry.isIntersecting))
    );
    if (place.current !== null) watcher.observe(place.current);
    return () => watcher.disconnect();
  }, []);

  async function askNext(): Promise<void> {
    if (isAsking.current) return;
    isAsking.current = true;
    const offset = of === subject ? nextOffset(pages, last.current) : first;
    const outcome = await ask(
      api.api.runs[":runId"].files.$get({
        param: { runId },
        query: { offset: String(offset), limit: String(PAGE_FILES) },
      }),
    );
    isAsking.current = false;
    if (subject !== latest.current) return;
    if (!outcome.ok) return setProblem(outcome.message);
    setProblem(undefined);
    last.current = offset;
    setShown((now) =>
      now.of === subject ? { of: subject, pages: withPage(now.pages, outcome.value, offset) } : now
    );
  }

  const hasAll = isComplete(pages);
  // What has ended does not change: it is read once, and once more after the end.
  useEffect(() => {
    if (isSeen) void askNext();
  }, [isSeen, isLive, subject]);
  useEvery(
    clock,
    hasAll ? LIVE_EVERY_MS : LOADING_EVERY_MS,
    () => void askNext(),
    isSeen && (isLive || !hasAll) && problem === undefined,
  );

  const { destinations, rows, total } = pages;
  const row = rows[cursor];
  return (
    <section class="box matrix" ref={place}>
      <div class="box-head">
        <h2>Files at destinations</h2>
        <label class="zoom">
          <span>Cell size</span>
          <input
            type="range"
            min={0}
            max={5}
            value={zoom}
            onInput={(event) => setZoom(Number(event.currentTarget.value))}
          />
        </label>
      </div>
      <Stretches
        total={total}
        first={first}
        shown={rows.length}
        unlisted={pages.unlisted}
        isWhole={hasAll}
        onFirst={(next) => choose({ runId, first: next })}
      />
      <Legend pages={pages} />
      {problem !== undefined && <p class="problem" role="alert">{problem}</p>}
      {pages.notes.map((note) => <p key={note} class="muted">{note}</p>)}
      {destinations.map((name, at) => (
        <Band
          key={name}
          name={name}
          index={at}
          pages={pages}
          zoom={zoom}
          cursor={cursor}
          onCursor={setCursor}
        />
      ))}
      <p class="matrix-file" aria-live="polite">
        {row === undefined
          ? (pages.version > 0 && total === 0 && pages.unlisted === 0 ? "No files yet" : " ")
          : (
            <>
              <bdi>{row.path}</bdi>
              <span class="muted">
                {`, ${formatBytes(row.sizeBytes)}: `}
                {destinations.map((name, at) => `${name} ${MARKS[markOf(row.marks, at)].name}`)
                  .join(", ")}
              </span>
            </>
          )}
      </p>
    </section>
  );
}

interface StretchesProps {
  total: number;
  first: number;
  shown: number;
  unlisted: number;
  isWhole: boolean;
  onFirst(first: number): void;
}

/** Which files are shown of how many, and a way to the others. */
function Stretches({ total, first, shown, unlisted, isWhole, onFirst }: StretchesProps) {
  if (total === 0 && unlisted === 0) return null;
  const all = stretches(total);
  const at = all.indexOf(first);
  const range = (from: number, to: number): string => `${formatCount(from + 1)}–${formatCount(to)}`;
  const said = !isWhole
    ? `${formatCount(shown)} of ${formatPlural(total, "file")} read so far`
    // Tasks that nobody has in hand are told by their number of files alone.
    : unlisted > 0 && all.length === 1
    ? `${formatCount(total)} of ${formatPlural(total + unlisted, "file")} can be shown now`
    : all.length === 1
    ? formatPlural(total, "file")
    : `Files ${range(first, first + shown)} of ${formatCount(total)}, counted below`;
  return (
    <div class="stretches">
      <p class="muted digits">{said}</p>
      {all.length > 1 && (
        <nav class="actions" aria-label="Which files">
          <button type="button" disabled={at <= 0} onClick={() => onFirst(all[at - 1] ?? 0)}>
            Previous
          </button>
          <select
            aria-label="Files that are shown"
            value={first}
            onChange={(event) => onFirst(Number(event.currentTarget.value))}
          >
            {all.map((from) => (
              <option key={from} value={from}>
                {range(from, Math.min(total, from + MATRIX_FILES_MAX))}
              </option>
            ))}
          </select>
          <button
            type="button"
            disabled={at >= all.length - 1}
            onClick={() => onFirst(all[at + 1] ?? first)}
          >
            Next
          </button>
        </nav>
      )}
    </div>
  );
}

function Legend({ pages: { rows, destinations } }: { pages: FilePages }) {
  const counts = new Map<string, number>();
  for (const { marks } of rows) {
    for (let at = 0; at < destinations.length; at++) {
      const mark = markOf(marks, at);
      counts.set(mark, (counts.get(mark) ?? 0) + 1);
    }
  }
  return (
    <ul class="legend">
      {MARK_LETTERS.filter((mark) => (counts.get(mark) ?? 0) > 0).map((mark) => (
        <li key={mark}>
          <span class={`swatch is-${MARKS[mark].tone}`} />
          {MARKS[mark].name} <span class="digits">{formatCount(counts.get(mark) ?? 0)}</span>
        </li>
      ))}
    </ul>
  );
}

interface BandProps {
  name: string;
  index: number;
  pages: FilePages;
  zoom: number;
  cursor: number;
  onCursor(file: number): void;
}

function Band({ name, index, pages, zoom, cursor, onCursor }: BandProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) =>
      setWidth(Math.floor(entry?.contentRect.width ?? 0))
    );
    if (canvas.current?.parentElement) watcher.observe(canvas.current.parentElement);
    return () => watcher.disconnect();
  }, []);
  const layout = layOut(pages.rows.length, width || 1, zoom);
  useEffect(() => {
    if (canvas.current !== null && width > 0) {
      drawBand(canvas.current, pages, index, layout, cursor);
    }
  }, [pages, width, zoom, cursor]);

  function move(event: KeyboardEvent): void {
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -layout.columns,
      ArrowDown: layout.columns,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    onCursor(Math.min(pages.rows.length - 1, Math.max(0, cursor + step)));
  }

  return (
    <div class="band">
      <h3>{name}</h3>
      <canvas
        ref={canvas}
        tabindex={0}
        role="img"
        aria-label={`Files at ${name}; arrow keys move from file to file`}
        onKeyDown={move}
        onPointerMove={(event) => {
          const file = fileAt(layout, pages.rows.length, event.offsetX, event.offsetY);
          if (file !== undefined) onCursor(file);
        }}
      />
    </div>
  );
}

function drawBand(
  canvas: HTMLCanvasElement,
  { rows }: FilePages,
  index: number,
  { cell, columns, bandHeight }: MatrixLayout,
  cursor: number,
): void {
  const scale = Math.min(2, devicePixelRatio || 1);
  canvas.width = columns * cell * scale;
  canvas.height = bandHeight * scale;
  canvas.style.width = `${columns * cell}px`;
  canvas.style.height = `${bandHeight}px`;
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const size = cell > 3 ? cell - GAP : cell;
  // One colour after the other: changing it is what costs.
  for (const letter of MARK_LETTERS) {
    pen.fillStyle = style.getPropertyValue(`--mark-${MARKS[letter].tone}`);
    for (let at = 0; at < rows.length; at++) {
      if (markOf(rows[at]!.marks, index) !== letter) continue;
      const x = (at % columns) * cell;
      const y = Math.floor(at / columns) * cell;
      if (letter === "x" && size >= 5) drawCross(pen, x, y, size);
      else pen.fillRect(x, y, size, size);
    }
  }
  if (rows.length > 0 && document.activeElement === canvas) {
    pen.strokeStyle = style.getPropertyValue("--ink");
    pen.lineWidth = 2;
    const x = (cursor % columns) * cell;
    const y = Math.floor(cursor / columns) * cell;
    pen.strokeRect(x, y, Math.max(3, size), Math.max(3, size));
  }
}

/** What failed has a form of its own too. */
function drawCross(pen: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  pen.fillRect(x, y, size, size);
  pen.clearRect(x + size / 2 - 0.75, y + 1, 1.5, size - 2);
  pen.clearRect(x + 1, y + size / 2 - 0.75, size - 2, 1.5);
}
