const EVERY_MS = 2;

/**
 * Resolves when a condition holds that no event tells of. It is looked at again every few milliseconds.
 * @param what the condition in words, for the error
 * @throws Error if the condition doesn't hold within `ms`
 */
export const until = async (what: string, holds: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> => {
  for (const end = Date.now() + ms; !(await holds()); ) {
    if (Date.now() > end) throw new Error(`not within ${String(ms)} ms: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, EVERY_MS); });
  }
};
