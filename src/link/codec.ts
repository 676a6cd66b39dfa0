import { decodeMessage, decodeToPassOn, encodeMessage, ProtoflyError, type Message } from '../protocol/index.js';
import type { Codec } from './link.js';

/** Encodes messages as JSON without line feeds. */
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

/** The same for relays, which pass on most of what they read. */
export const passingCodec: Codec<Message> = { ...messageCodec, decode: decodeToPassOn };

/** Leaves text as it is: one non-empty line. For links that carry another link's frames (`mux/`). */
export const textCodec: Codec<string> = {
  encode: (text) => {
    if (text === '' || text.includes('\n')) throw new ProtoflyError('E_MESSAGE', 'a frame of text is one line and not empty');
    return text;
  },
  decode: (text) => text,
};
