import { ProtoflyError } from '../../protocol/index.js';

const UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Parses `512KiB` or `4MiB`; a bare number is bytes. @returns bytes @throws ProtoflyError `E_USAGE` */
export const parseSize = (text: string): number => {
  const match = /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB)?$/.exec(text.trim());
  const bytes = match === null ? NaN : Math.round(Number(match[1]) * UNITS[match[2] ?? 'B']!);
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new ProtoflyError('E_USAGE', `not a size: ${JSON.stringify(text.slice(0, 40))}`, { hint: 'sizes look like 512KiB or 4MiB' });
};
