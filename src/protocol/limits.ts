/** Limits that both ends of a link agree on. Sizes are in bytes unless stated otherwise. */

/** Maximum size of an encoded message. A larger one is refused with 413. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** Maximum length of an address, in UTF-16 code units. */
export const MAX_ADDRESS_LENGTH = 2048;
/** Maximum length of a message id that is a string, in UTF-16 code units. */
export const MAX_ID_LENGTH = 256;
/** Maximum number of receivers of one message. */
export const MAX_RECIPIENTS = 1000;
/** Maximum nesting depth of a message body. */
export const MAX_DEPTH = 100;
/** Maximum number of messages in a batch. */
export const MAX_BATCH = 1024;
/** Maximum nesting depth of a text that is parsed. More than of a body, so that a slightly deeper body is refused by name. */
export const MAX_JSON_DEPTH = 1000;
/** Maximum number of values in a text that is parsed: members, items, objects and lists. */
export const MAX_JSON_VALUES = 200_000;
