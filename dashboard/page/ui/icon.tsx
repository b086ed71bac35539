/** The page's few icons. Rule: drawn with the text's colour, and never the only sign of anything. */

const PATHS = {
  check: "M4.5 10.5l3.5 3.5 7.5-8",
  cross: "M5.5 5.5l9 9M14.5 5.5l-9 9",
  busy: "M10 3.5a6.5 6.5 0 1 1-6.5 6.5",
  pause: "M7 5v10M13 5v10",
  play: "M6.5 4.5l9 5.5-9 5.5z",
  stop: "M5.5 5.5h9v9h-9z",
  star: "M10 3.2l2.1 4.3 4.7.7-3.4 3.3.8 4.7-4.2-2.2-4.2 2.2.8-4.7L3.2 8.2l4.7-.7z",
  warn: "M10 3.5l7 12.5H3zM10 8.5v3.5M10 14v.2",
  code: "M7 6l-4 4 4 4M13 6l4 4-4 4",
  folder: "M3 5.5h5l1.5 2H17v8H3z",
  file: "M5.5 3h6l3 3v11h-9zM11.5 3v3h3",
  down: "M10 3.5v9m-4-3.5l4 4 4-4M4 16.5h12",
  retry: "M4 10a6 6 0 0 1 10.5-4L16.5 8M16.5 4v4h-4M16 10a6 6 0 0 1-10.5 4L3.5 12M3.5 16v-4h4",
  dash: "M5.5 10h9",
  clock: "M10 3.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 1 0 0-13M10 6.5V10l2.5 1.5",
} as const;
export type IconName = keyof typeof PATHS;

export function Icon({ name, class: more = "" }: { name: IconName; class?: string }) {
  return (
    <svg class={`icon icon-${name} ${more}`} viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
