import { systemClock } from '../../../protocol/index.js';
import { runChild } from '../child.js';
import { forbidAddons } from '../addons.js';
import { createCapabilities, type CapabilityProvider } from './capabilities.js';
import { evaluateHere } from './evaluate.js';
import { startNative } from './native.js';

// The entry point of a sandbox process for code of this installation.
await runChild((log) => {
  const { provide, shutdown } = createCapabilities({ clock: systemClock, log }, { library: process.argv[3], isGuarded: true });
  const provideOnce: CapabilityProvider = async (capability, stub) => {
    const provided = await provide(capability, stub);
    if (capability === 'webrtc') forbidAddons();
    return provided;
  };
  return { start: startNative({ clock: systemClock, provide: provideOnce, evaluate: evaluateHere }), shutdown };
});
