/** Maximum length of a file's name, in UTF-8 bytes. A part's name and a number must fit beside it into 255. */
const LONGEST = 200;
/** Maximum length of an ending within that, including the dot. */
const LONGEST_ENDING = 20;

/**
 * Characters that are unsafe for file systems, terminals or shells: control, invisible and direction characters,
 * separators.
 */
const UNWANTED = /[\p{C}\p{Zl}\p{Zp}<>:"/\\|?*]/gu;
/** Names of devices on Windows, with any ending. */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?= *(\.|$))/i;

const bytes = (text: string): number => Buffer.byteLength(text);

/** Cuts a text to at most `most` bytes, after a complete character. */
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
 * Returns a safe name for a file from somebody else. It is one path segment on every platform, at most 200 bytes
 * long. It is never hidden, a device, or mistaken for a flag. Any text has a safe name.
 */
export const safeName = (given: string): string => {
  const last = given.toWellFormed().normalize('NFC').split(/[/\\]/).findLast((segment) => segment.trim() !== '') ?? '';
  const plain = last.replace(UNWANTED, '_').replace(/\p{Zs}/gu, ' ').trim().replace(/^[.-]+/, (lead) => '_'.repeat(lead.length));
  const ending = endingOf(plain);
  const name = `${cut(plain.slice(0, plain.length - ending.length), LONGEST - bytes(ending) - 1)}${ending}`.replace(/[. ]+$/, '').replace(DEVICE, '_$1');
  return name === '' ? 'file' : name;
};

/** Returns `name`, then `name (1)`, `name (2)`, … with the number before the ending. */
export const numbered = (name: string, number: number): string => {
  if (number === 0) return name;
  const ending = endingOf(name);
  return `${name.slice(0, name.length - ending.length)} (${String(number)})${ending}`;
};

/** Returns the name of an incomplete file, in the folder of the final file. `safeName` never returns such a name. */
export const partName = (name: string): string => `.${name}.protofly-part`;
