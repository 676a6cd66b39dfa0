/** How long a file's own name may be, in UTF-8 bytes: a part's name, and a number, have to fit beside it into 255. */
const LONGEST = 200;
/** How much of that an ending may take, dot included. */
const LONGEST_ENDING = 20;

/** What no file system, terminal or shell should meet in a name: control, invisible and direction characters, separators. */
const UNWANTED = /[\p{C}\p{Zl}\p{Zp}<>:"/\\|?*]/gu;
/** Names that are devices on Windows, whatever ending they have. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?= *(\.|$))/i;

const bytes = (text: string): number => Buffer.byteLength(text);

/** Cuts behind a whole character. */
const cut = (text: string, most: number): string => {
  let kept = '';
  let size = 0;
  for (const character of text) {
    size += bytes(character);
    if (size > most) break;
    kept += character;
  }
  return kept;
};

const endingOf = (name: string): string => {
  const at = name.lastIndexOf('.');
  return at <= 0 || bytes(name.slice(at)) > LONGEST_ENDING ? '' : name.slice(at);
};

/**
 * The name under which somebody else's file is kept: one segment of a path, on every platform; never hidden, a device,
 * or what a command could take for a flag; at most 200 bytes. Any text has one.
 */
export const safeName = (given: string): string => {
  const last = given.toWellFormed().normalize('NFC').split(/[/\\]/).findLast((segment) => segment.trim() !== '') ?? '';
  const plain = last.replace(UNWANTED, '_').replace(/\p{Zs}/gu, ' ').trim().replace(/^[.-]+/, (lead) => '_'.repeat(lead.length));
  const ending = endingOf(plain);
  const name = `${cut(plain.slice(0, plain.length - ending.length), LONGEST - bytes(ending) - 1)}${ending}`.replace(/[. ]+$/, '').replace(DEVICE, '_$1');
  return name === '' ? 'file' : name;
};

/** `name`, then `name (1)`, `name (2)`, … with the number before the ending. */
export const numbered = (name: string, number: number): string => {
  if (number === 0) return name;
  const ending = endingOf(name);
  return `${name.slice(0, name.length - ending.length)} (${String(number)})${ending}`;
};

/** Where a file that isn't complete is kept, beside where it will be. No name that `safeName` makes looks like that. */
export const partName = (name: string): string => `.${name}.protofly-part`;
