/** Limits that both ends of a link agree on. Sizes are in bytes unless a name says otherwise. */

/** The largest message that travels, encoded. A larger one is refused with 413. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** The longest address, in UTF-16 code units. */
export const MAX_ADDRESS_LENGTH = 2048;
/** The longest string that serves as a message id, in UTF-16 code units. */
export const MAX_ID_LENGTH = 256;
/** How many receivers one message may name. */
export const MAX_RECIPIENTS = 1000;
/** How deep a message body may nest. */
export const MAX_DEPTH = 100;
/** How many messages may travel as one. */
export const MAX_BATCH = 1024;
