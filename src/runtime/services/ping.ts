import { receivedVia, type MessageBus } from '../../bus/index.js';
import { isResponse, ProtoflyError, respond, type Address } from '../../protocol/index.js';

/** Answers pings at the runtime's own address, to everybody. */
export class PingService {
  constructor({ bus }: { readonly bus: MessageBus }, { runtime }: { readonly runtime: Address }) {
    bus.addListener(runtime, (message, origin) => {
      if (isResponse(message)) return;
      if (message.type !== 'ping') throw new ProtoflyError('E_REFUSED', 'a runtime answers nothing but ping at its own address');
      void bus.post(respond(message, 200, { ...receivedVia(origin) }, runtime));
    });
  }
}
