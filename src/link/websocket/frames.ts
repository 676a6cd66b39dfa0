/** The size of an unmasked frame's header. */
const headerSize = (length: number): number => (length < 126 ? 2 : length < 65_536 ? 4 : 10);

const FINAL_TEXT = 0x81;

/**
 * Encodes text frames as a server sends them: unmasked, whole, uncompressed, one after the other (RFC 6455,
 * 5.2).
 */
export const serverFrames = (texts: readonly string[]): Buffer => {
  let room = 0;
  for (const text of texts) room += 10 + 3 * text.length;
  if (room > 1024 * 1024) return Buffer.concat(texts.map((text) => serverFrame(text)));
  const buffer = Buffer.allocUnsafe(room);
  let at = 0;
  for (const text of texts) {
    // Guesses the header's size from the text's length. The guess fails only if non-ASCII characters exceed a
    // size bound.
    const guessed = headerSize(text.length);
    let length = buffer.write(text, at + guessed, 'utf8');
    if (headerSize(length) !== guessed) length = buffer.write(text, at + headerSize(length), 'utf8');
    at = writeHeader(buffer, at, length) + length;
  }
  return buffer.subarray(0, at);
};

const serverFrame = (text: string): Buffer => {
  const length = Buffer.byteLength(text);
  const buffer = Buffer.allocUnsafe(headerSize(length) + length);
  buffer.write(text, writeHeader(buffer, 0, length), 'utf8');
  return buffer;
};

const writeHeader = (buffer: Buffer, at: number, length: number): number => {
  buffer[at] = FINAL_TEXT;
  if (length < 126) {
    buffer[at + 1] = length;
    return at + 2;
  }
  if (length < 65_536) {
    buffer[at + 1] = 126;
    buffer.writeUInt16BE(length, at + 2);
    return at + 4;
  }
  buffer[at + 1] = 127;
  buffer.writeBigUInt64BE(BigInt(length), at + 2);
  return at + 10;
};
