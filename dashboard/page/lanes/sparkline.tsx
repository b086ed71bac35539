/** The last minute of a lane's speed. Rule: drawn once a tick; a picture of numbers that also stand beside it as text. */
import { useEffect, useRef } from "preact/hooks";
import { RATE_WINDOW_MS, type RateSample } from "../feed/rate_history.ts";
import { memo } from "../ui/memo.ts";

const WIDTH = 132;
const HEIGHT = 34;
const TOP = 3;

export interface SparklineProps {
  samples: readonly RateSample[];
  tone: string;
}

export const Sparkline = memo(({ samples, tone }: SparklineProps) => {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (canvas.current !== null) draw(canvas.current, samples);
  }, [samples, tone]);
  return (
    <canvas
      ref={canvas}
      class={`sparkline is-${tone}`}
      width={WIDTH * 2}
      height={HEIGHT * 2}
      aria-hidden="true"
    />
  );
});

function draw(canvas: HTMLCanvasElement, samples: readonly RateSample[]): void {
  const pen = canvas.getContext("2d");
  if (pen === null) return;
  const { width, height } = canvas;
  const scale = width / WIDTH;
  pen.clearRect(0, 0, width, height);
  const colour = getComputedStyle(canvas).color;
  pen.fillStyle = colour;
  pen.globalAlpha = 0.25;
  pen.fillRect(0, height - scale, width, scale);
  pen.globalAlpha = 1;
  const endMs = samples.at(-1)?.atMs;
  if (endMs === undefined || samples.length < 2) return;
  const most = Math.max(1, ...samples.map((s) => s.bytesPerSecond));
  const x = (atMs: number): number => width * (1 - (endMs - atMs) / RATE_WINDOW_MS);
  const y = (rate: number): number =>
    height - scale - (rate / most) * (height - TOP * scale - scale);

  const line = new Path2D();
  samples.forEach(({ atMs, bytesPerSecond }, at) => {
    if (at === 0) line.moveTo(x(atMs), y(bytesPerSecond));
    else line.lineTo(x(atMs), y(bytesPerSecond));
  });
  const area = new Path2D(line);
  area.lineTo(width, height);
  area.lineTo(x(samples[0]!.atMs), height);
  area.closePath();
  pen.fillStyle = colour;
  pen.globalAlpha = 0.14;
  pen.fill(area);
  pen.globalAlpha = 1;
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5 * scale;
  pen.lineJoin = "round";
  pen.stroke(line);
}
