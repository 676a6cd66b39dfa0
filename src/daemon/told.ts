const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface ToldInit {
  /** Whether stdin is a lifeline: it ends with the process that started this one, unless that lets go first. */
  readonly lifeline: boolean;
}

/**
 * Resolves with the reason when this process is told to end: by a signal, or by the end of its lifeline. Later signals
 * change nothing. A byte on the lifeline lets go: its end changes nothing then. Waiting keeps no process alive.
 */
export const untilTold = (process: NodeJS.Process, { lifeline }: ToldInit): Promise<string> =>
  new Promise((resolve) => {
    for (const signal of SIGNALS) process.on(signal, () => { resolve(signal); });
    if (!lifeline) return;
    let isHeld = true;
    const ended = (): void => { if (isHeld) resolve('the command that started it has gone'); };
    process.stdin.on('data', () => { isHeld = false; }).on('end', ended).on('close', ended).on('error', ended).unref();
  });
