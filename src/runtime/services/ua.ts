import type { MessageBus } from '../../bus/index.js';
import { child, ProtoflyError, type Address, type Request } from '../../protocol/index.js';
import type { Program } from '../hyperties/inbox/index.js';
import { serve, type ConnectedProgram, type ConnectedPrograms } from './connected-programs.js';

export interface UaComponents {
  readonly bus: MessageBus;
  readonly clients: ConnectedPrograms;
  readonly status: () => Record<string, unknown>;
  /** Registers a listener for changes of the status. @returns a function that removes it */
  readonly onStatus: (listener: () => void) => () => void;
  readonly stop: () => void;
}

const MAX_WINDOW = 65_536;

/** `<runtime>/ua`: requests of programs to the runtime itself, and attaching. @see docs/control.md */
export class UserAgent {
  readonly #components: UaComponents;
  readonly #address: Address;

  constructor(components: UaComponents, { runtime }: { readonly runtime: Address }) {
    this.#components = components;
    this.#address = child(runtime, 'ua');
    serve(components.bus, this.#address, (request, client) => this.#handle(request, client));
  }

  async #handle(request: Request, client: ConnectedProgram): Promise<Record<string, unknown> | undefined> {
    const { status, stop, clients } = this.#components;
    const { type, body } = request;
    if (type === 'ping') return {};
    const resource = text(body?.resource);
    switch (`${type} ${resource}`) {
      case 'read status': return { value: status() };
      case 'subscribe status': return { value: this.#watch(client) };
      case 'unsubscribe status':
        client.cleanups.get('status')?.();
        client.cleanups.delete('status');
        return {};
      case 'execute stop':
        // Deferred, so that the answer goes out first.
        setImmediate(stop);
        return {};
    }
    switch (type) {
      case 'subscribe': return { resource: clients.attach(client, resource, optionsOf(body?.value)) };
      case 'unsubscribe': return { resource: clients.detach(client, resource) };
      case 'update':
        client.attachments.get(resource as Address)?.taken(takenOf(body?.value));
        return undefined;
      default: throw new ProtoflyError('E_USAGE', `${this.#address} knows no ${type} of ${JSON.stringify(resource)}`);
    }
  }

  #watch(client: ConnectedProgram): Record<string, unknown> {
    const { onStatus, status, bus } = this.#components;
    client.cleanups.get('status')?.();
    client.cleanups.set('status', onStatus(() => {
      void bus.post({ id: 0, type: 'update', from: this.#address, to: client.address, body: { resource: 'status', value: status() } });
    }));
    return status();
  }
}

export const text = (value: unknown): string => {
  if (typeof value === 'string') return value;
  throw new ProtoflyError('E_USAGE', 'body.resource is not a string');
};

const optionsOf = (value: unknown): Omit<Program, 'deliver'> => {
  const { window, answers } = (value ?? {}) as { readonly window?: unknown; readonly answers?: unknown };
  if (window !== undefined && (typeof window !== 'number' || !Number.isSafeInteger(window) || window < 1 || window > MAX_WINDOW)) throw new ProtoflyError('E_USAGE', `window is not a whole number from 1 to ${String(MAX_WINDOW)}`);
  if (answers !== undefined && typeof answers !== 'boolean') throw new ProtoflyError('E_USAGE', 'answers is neither true nor false');
  return { ...(window === undefined ? {} : { window }), ...(answers === undefined ? {} : { answers }) };
};

const takenOf = (value: unknown): number => {
  const taken = (value as { readonly taken?: unknown } | undefined)?.taken;
  if (typeof taken !== 'number' || !Number.isSafeInteger(taken)) throw new ProtoflyError('E_USAGE', 'taken is not a whole number');
  return taken;
};
