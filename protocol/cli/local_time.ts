/** Times that people type: `2026-11-01 22:08:41`, on the clock of this machine. */

const TIME = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)$/;

/** Milliseconds since the epoch; undefined for what is no time, such as a 30th of February. */
export function localTimeMs(text: string): number | undefined {
  const parts = TIME.exec(text)?.slice(1).map(Number);
  if (parts === undefined) return undefined;
  const [year, month, day, hour, minute, second] = parts as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const date = new Date(2000, month - 1, day, hour, minute, second);
  // Years below 100 would be taken for those of the last century.
  date.setFullYear(year, month - 1, day);
  const isSame = date.getMonth() === month - 1 && date.getDate() === day &&
    hour < 24 && minute < 60 && second < 60;
  return isSame ? date.getTime() : undefined;
}
