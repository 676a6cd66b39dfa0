import { systemClock, type Clock } from '../../protocol/index.js';
import { printable } from '../io/table.js';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;
const BAR = 24;
/** Interval between two drawings of the line, in milliseconds. */
const EVERY_MS = 100;

/** Formats a size like `9.1 MB`: decimal units, three digits. */
export const formatBytes = (bytes: number): string => {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(bytes, 1)) / 3)));
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 100 ? String(Math.round(value)) : value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, '')} ${UNITS[power]!}`;
};

const formatTime = (seconds: number): string => {
  const whole = Math.ceil(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return `${hours > 0 ? `${String(hours)}:` : ''}${hours > 0 ? String(minutes).padStart(2, '0') : String(minutes)}:${String(whole % 60).padStart(2, '0')}`;
};

/** Returns one line about a transfer. @param rate bytes per second */
const progressLine = (name: string, done: number, total: number | undefined, rate: number): string => {
  const shown = printable(name.length > 30 ? `${name.slice(0, 29)}…` : name);
  const speed = rate > 0 ? `  ${formatBytes(rate)}/s` : '';
  if (total === undefined) return `${shown}  ${formatBytes(done)}${speed}`;
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const full = Math.round(share * BAR);
  const left = rate > 0 && done < total ? `  ${formatTime((total - done) / rate)}` : '';
  return `${shown}  [${'#'.repeat(full)}${'-'.repeat(BAR - full)}] ${String(Math.floor(share * 100)).padStart(3)} %  ${formatBytes(done)} of ${formatBytes(total)}${speed}${left}`;
};

/** Returns a function that draws the progress of one file, at most once per `EVERY_MS`. */
export const progressOf = (draw: (line: string) => void, name: string, total: number | undefined, clock: Clock = systemClock): ((done: number) => void) => {
  let first: { readonly at: number; readonly done: number } | undefined;
  let drawn = 0;
  return (done) => {
    const now = clock.now();
    first ??= { at: now, done };
    if (now - drawn < EVERY_MS && done !== total) return;
    drawn = now;
    draw(progressLine(name, done, total, now - first.at < EVERY_MS ? 0 : ((done - first.done) * 1000) / (now - first.at)));
  };
};
