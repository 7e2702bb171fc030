// How numbers, times and digests are written.

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const time = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** 1,234 and 12.3K. */
export const count = (n) => (n === null || n === undefined ? '–' : n < 10000 ? plain.format(n) : compact.format(n));

/** All digits, for titles. */
export const exact = (n) => plain.format(n);

/** A latency in three digits: 800 µs, 3.10 ms, 1.24 s. */
export function latency(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toPrecision(seconds < 0.9995 ? 3 : 4)} ms`;
  return `${seconds < 100 ? seconds.toPrecision(3) : Math.round(seconds)} s`;
}

/** A length of time in its two largest units: 41 s, 3 min 5 s, 3 d 1 h. */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s % 60 && s < 600 ? ` ${s % 60} s` : ''}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h${s % 3600 >= 60 ? ` ${Math.floor((s % 3600) / 60)} min` : ''}`;
  return `${Math.floor(s / 86400)} d${s % 86400 >= 3600 ? ` ${Math.floor((s % 86400) / 3600)} h` : ''}`;
}

/** When it was: the time of today, or also the day. */
export function clock(at) {
  const date = new Date(at * 1000);
  return date.toDateString() === new Date().toDateString() ? time.format(date) : `${day.format(date)} ${time.format(date)}`;
}

export function bytes(n) {
  if (n < 1024) return `${n} B`;
  const unit = n < 1048576 ? ['KiB', 1024] : n < 1073741824 ? ['MiB', 1048576] : ['GiB', 1073741824];
  return `${(n / unit[1]).toFixed(1)} ${unit[0]}`;
}

export const percent = (part) => `${plain.format(part * 100)} %`;

/** The first digits of a digest, as many as the log uses. */
export const short = (digest) => (digest ?? '').slice(0, 12);

/** "1 instance", "2 instances". */
export const some = (n, word) => `${count(n)} ${word}${n === 1 ? '' : 's'}`;
