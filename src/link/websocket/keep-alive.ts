import type { WebSocket } from 'ws';
import type { Clock, Timer } from '../../protocol/index.js';

const MAX_MISSED = 2;

/**
 * Pings the other side, and calls back once when it has missed two pongs. Anything that comes from it counts. While
 * we don't read, its silence is ours and isn't counted. @returns stops it
 */
export const keepAlive = ({ ws, clock }: { ws: WebSocket; clock: Clock }, everyMs: number, onSilence: () => void): (() => void) => {
  let missed = 0;
  const alive = (): void => { missed = 0; };
  const beat = (): void => {
    if (ws.isPaused) missed = 0;
    if (missed >= MAX_MISSED) {
      onSilence();
      return;
    }
    missed += 1;
    if (ws.readyState === ws.OPEN) ws.ping();
    timer = clock.setTimeout(beat, everyMs);
  };
  let timer: Timer = clock.setTimeout(beat, everyMs);
  ws.on('pong', alive).on('ping', alive).on('message', alive);
  return () => {
    timer.cancel();
    ws.off('pong', alive).off('ping', alive).off('message', alive);
  };
};
