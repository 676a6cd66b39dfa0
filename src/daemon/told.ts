const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface ToldInit {
  /** True if stdin is a lifeline: it ends with the parent process, unless the parent releases it first. */
  readonly lifeline: boolean;
}

/**
 * Resolves with the reason when this process has to stop: a signal, or the end of its lifeline. Later signals have no
 * effect. A byte on the lifeline releases it: its end then has no effect. Waiting doesn't keep the process alive.
 */
export const untilTold = (process: NodeJS.Process, { lifeline }: ToldInit): Promise<string> =>
  new Promise((resolve) => {
    for (const signal of SIGNALS) process.on(signal, () => { resolve(signal); });
    if (!lifeline) return;
    let isHeld = true;
    const ended = (): void => { if (isHeld) resolve('the command that started it has gone'); };
    process.stdin.on('data', () => { isHeld = false; }).on('end', ended).on('close', ended).on('error', ended).unref();
  });
