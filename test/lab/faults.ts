import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Network } from './network.js';
import type { Parties } from './parties.js';
import type { Fault } from './scenario.js';
import { until } from '../support/until.js';

export interface World {
  readonly network: Network;
  readonly parties: Parties;
  readonly turn: boolean;
}

const murder = async (pid: number): Promise<void> => {
  process.kill(pid, 'SIGKILL');
  await until(`process ${String(pid)} is gone`, () => !existsSync(`/proc/${String(pid)}`), 5000);
};

/** Injects a fault, waits, and repairs what doesn't recover by itself. */
export const inflict = async ({ network, parties, turn }: World, fault: Fault, signal: AbortSignal): Promise<void> => {
  const lasts = (ms: number): Promise<void> => pause(ms, undefined, { signal });
  switch (fault.kind) {
    case 'cut':
      await network.cut(fault.side, true);
      await lasts(fault.ms);
      return network.cut(fault.side, false);
    case 'block-udp':
      await network.blockUdp(fault.side, true);
      await lasts(fault.ms);
      return network.blockUdp(fault.side, false);
    case 'worsen':
      network.worsen(fault.side, fault);
      await lasts(fault.ms);
      return network.worsen(fault.side, { delayMs: 0, loss: 0 });
    case 'readdress':
      return network.readdress(fault.side);
    case 'restart-domain':
      await parties.stopDomain();
      await lasts(fault.ms);
      return parties.startDomain(turn);
    case 'kill-domain':
      await murder(await parties.domainPid());
      await lasts(fault.ms);
      return parties.startDomain(turn);
    case 'kill-runtime':
      await murder(await parties.runtimePid(fault.side));
      await lasts(fault.ms);
      return parties.startRuntime(fault.side);
    case 'blackout':
      await murder(await parties.domainPid());
      await lasts(fault.ms);
      await murder(await parties.runtimePid(fault.side));
      await parties.startDomain(turn);
      return parties.startRuntime(fault.side);
    case 'kill-sandbox':
      return murder(await parties.sandboxPid(fault.side, fault.stub));
  }
};
