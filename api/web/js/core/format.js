// Numbers, sizes and times for people.

const number = new Intl.NumberFormat();
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** 12345 → 12,345 */
export function count(value) {
  return number.format(value);
}

/** plural(1, "image") → 1 image; plural(2, "box", "boxes") → 2 boxes */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Bytes → 1.4 MB, in powers of 1024 as filters count them. */
export function bytes(value) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  let left = value;
  while (left >= 1024 && at < units.length - 1) {
    left /= 1024;
    at += 1;
  }
  return `${left >= 100 || at === 0 ? Math.round(left) : left.toFixed(1)} ${units[at]}`;
}

/** Milliseconds → 8 ms, 0.4 ms, 1.3 s */
export function duration(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 10 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

/** A time as the API writes it. Without a zone it is the camera's own clock and shown as it is. */
export function when(text, { time = true } = {}) {
  const parsed = new Date(text);
  if (Number.isNaN(parsed.getTime())) return text;
  return (time ? dateTime : date).format(parsed);
}

/** The last part of a path or address. */
export function fileName(path) {
  const parts = path.split(/[\\/]/).filter(Boolean);
  return parts.at(-1) ?? path;
}

/** Everything before the last part, with its slash. */
export function folderName(path) {
  return path.slice(0, path.length - fileName(path).length);
}

/** A chance as a share of something: 0.0004 → 1 in 2,500; 0.84 → 84 % of */
export function share(p) {
  return p >= 0.5 ? `${odds(p)} of` : odds(p);
}

/** A chance: 0.0004 → 1 in 2,500; 0.84 → 84 % */
export function odds(p) {
  if (p <= 0) return "less than 1 in a billion";
  if (p >= 0.5) return `${Math.round(p * 100)} %`;
  const one = 1 / p;
  if (one > 1e9) return "less than 1 in a billion";
  const digits = 10 ** Math.max(0, Math.floor(Math.log10(one)) - 1);
  return `1 in ${count(Math.round(one / digits) * digits)}`;
}
