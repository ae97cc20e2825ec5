// Numbers, times and sizes as a person reads them.

const locale = "en-GB";
const clock = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

/**
 * A number of bytes in kB, MB, GB.
 * @param {number} bytes
 */
export function bytes(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size.toLocaleString(locale, { maximumFractionDigits: unit > 1 && size < 100 ? 1 : 0 })} ${units[unit]}`;
}

/**
 * A span of time, in the two largest units that say something.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/**
 * Time that is left, rounded so that it does not flicker.
 * @param {number} seconds
 */
export function left(seconds) {
  if (seconds < 1.5) return "a moment left";
  if (seconds < 60) return `about ${Math.ceil(seconds)} s left`;
  if (seconds < 3600) return `about ${Math.round(seconds / 60)} min left`;
  return `about ${(seconds / 3600).toFixed(1)} h left`;
}

/**
 * A point in time, in the reader's own time zone.
 * @param {string} iso
 */
export function moment(iso) {
  return clock.format(new Date(iso));
}

/**
 * Seconds between two points in time.
 * @param {string} from
 * @param {string | null} to - None: now.
 */
export function between(from, to) {
  return Math.max(0, ((to ? Date.parse(to) : Date.now()) - Date.parse(from)) / 1000);
}

/** @param {number} share */
export function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/**
 * A small number in powers of ten: 1.6 × 10⁻⁴.
 * @param {number} value
 */
export function scientific(value) {
  if (value === 0) return "0";
  const [digits, exponent] = value.toExponential(1).split("e");
  const raised = [...String(Number(exponent))].map((sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(sign)])).join("");
  return `${digits}\u00a0×\u00a010${raised}`; // never broken in two
}

/**
 * Decibels, "∞" for what JSON cannot hold.
 * @param {number | null} value
 * @param {number} [digits]
 */
export function decibels(value, digits = 2) {
  return value === null || value === undefined ? "∞" : value.toFixed(digits);
}

/** @param {number} value */
export function signed(value, digits = 2) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
}

/**
 * A count and its noun: "1 file", "3 files".
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString(locale)} ${count === 1 ? one : many}`;
}
