/** The part of what a server has for all that one remote address may have, from 0 to 1. */
export const SHARE_PER_ADDRESS = 0.25;
