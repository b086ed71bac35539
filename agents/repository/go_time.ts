/** Times as Go writes them (RFC 3339 with up to nine digits), exact to the nanosecond. Rule: never through a Date alone. */

export interface Instant {
  /** Since the Unix epoch, towards minus infinity. */
  sec: number;
  /** 0 … 999,999,999. */
  nsec: number;
}

const TEXT =
  /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?(?:Z|([+-])(\d\d):(\d\d))$/;
const MS_PER_DAY = 86_400_000;

/** Minutes east of UTC at an instant, for the zone a text is written in. */
export type Zone = (sec: number) => number;

export const utc: Zone = () => 0;
/** The zone of this machine, which may differ from instant to instant. */
export const localZone: Zone = (sec) => -new Date(sec * 1000).getTimezoneOffset();

export function formatTime({ sec, nsec }: Instant, zone: Zone): string {
  let offset = Math.round(zone(sec));
  if (Number.isNaN(offset)) offset = 0;
  let date = new Date((sec + offset * 60) * 1000);
  // Years that four digits cannot hold move to the nearest that they can, as restic does.
  const year = date.getUTCFullYear();
  if (Number.isNaN(year)) date = new Date(Date.UTC(9999, 0, 1));
  else if (year < 0 || year > 9999) date.setUTCFullYear(year < 0 ? 0 : 9999);
  const seconds = date.toISOString().slice(0, 19);
  const fraction = formatFraction(nsec);
  if (offset === 0) return `${seconds}${fraction}Z`;
  const minutes = Math.abs(offset);
  const two = (value: number) => String(value).padStart(2, "0");
  const sign = offset < 0 ? "-" : "+";
  return `${seconds}${fraction}${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

/** What stands behind the seconds. */
export function formatFraction(nsec: number): string {
  if (nsec === 0) return "";
  const digits = String(1e9 + nsec).slice(1);
  return `.${nsec % 10 === 0 ? digits.replace(/0+$/, "") : digits}`;
}

/** Undefined for what is no time. */
export function parseTime(text: string): Instant | undefined {
  const match = TEXT.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = "", sign, zoneHour, zoneMinute] =
    match;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  if (date.getUTCMonth() !== Number(month) - 1 || Number(hour) > 23) return undefined;
  if (Number(minute) > 59 || Number(second) > 59) return undefined;
  const daySec = (Math.floor(date.getTime() / MS_PER_DAY) * MS_PER_DAY) / 1000;
  const zone = (sign === "-" ? -1 : 1) * (Number(zoneHour ?? 0) * 60 + Number(zoneMinute ?? 0));
  const sec = daySec + Number(hour) * 3600 + Number(minute) * 60 + Number(second) - zone * 60;
  return { sec, nsec: Number(fraction.padEnd(9, "0")) };
}

/** Minutes east of UTC that a text says; 0 for `Z`. */
export function offsetOf(text: string): number {
  const match = /([+-])(\d\d):(\d\d)$/.exec(text);
  if (match === null) return 0;
  return (match[1] === "-" ? -1 : 1) * (Number(match[2]) * 60 + Number(match[3]));
}

/** Negative when `a` is earlier. */
export function compareTimes(a: Instant, b: Instant): number {
  return a.sec - b.sec || a.nsec - b.nsec;
}

export function instantOfMs(ms: number): Instant {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.floor((ms - sec * 1000) * 1e6) };
}

export function msOf({ sec, nsec }: Instant): number {
  return sec * 1000 + nsec / 1e6;
}
