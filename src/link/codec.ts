import { decodeMessage, decodeToPassOn, encodeMessage, ProtoflyError, type Message } from '../protocol/index.js';
import type { Codec } from './link.js';

/** Messages as JSON, without a line feed. */
export const messageCodec: Codec<Message> = {
  encode: (message) => {
    try {
      return encodeMessage(message);
    } catch (cause) {
      throw new ProtoflyError('E_MESSAGE', 'the message has no JSON form', { cause });
    }
  },
  decode: decodeMessage,
};

/** The same for who mostly passes on what it reads. */
export const passingCodec: Codec<Message> = { ...messageCodec, decode: decodeToPassOn };

/** Text as it is: one line, not empty. For links that carry another link's frames (`mux/`). */
export const textCodec: Codec<string> = {
  encode: (text) => {
    if (text === '' || text.includes('\n')) throw new ProtoflyError('E_MESSAGE', 'a frame of text is one line and not empty');
    return text;
  },
  decode: (text) => text,
};
