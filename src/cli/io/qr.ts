/** Returns the lines of a QR code for a terminal. */
export const qrLines = async (text: string): Promise<readonly string[]> => {
  const { renderUnicodeCompact } = await import('uqr');
  return renderUnicodeCompact(text, { border: 2 }).split('\n');
};
