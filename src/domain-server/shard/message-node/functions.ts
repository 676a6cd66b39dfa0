import { isAddress, parseAddress, partsOf, ProtoflyError, domainOf, respond, type Address, type Body, type Request, type Response } from '../../../protocol/index.js';
import type { Admission } from '../members/admission.js';
import type { Directory } from './directory.js';
import type { NodeLimits } from './limits.js';
import type { Session } from './session.js';

/** A function of the domain: answers one request of a session. @throws ProtoflyError that is sent as the response */
export type DomainFunction = (request: Request, session: Session) => Response | Promise<Response>;

export interface AllocationComponents {
  readonly domain: string;
  readonly directory: Directory;
  readonly limits: NodeLimits;
  readonly random: (bytes: number) => Uint8Array;
  /** Returns the runtime that the domain registry has for an address, if any. */
  readonly registeredBy: (address: Address) => Address | undefined;
}

const bad = (why: string): ProtoflyError => new ProtoflyError('E_MESSAGE', why);
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Schemes whose addresses can't be allocated. */
const RESERVED = new Set(['hyperty-runtime', 'runtime', 'domain', 'global', 'user', 'user-guid', 'hyperty-catalogue', 'mn', 'http', 'https', 'ws', 'wss']);
const SCHEME = /^[a-z][a-z0-9+.-]{0,63}$/;
const MAX_KEY = 2048;

/** Parses a field that holds one address or a list of addresses. */
const addressesIn = (value: unknown): Address[] => {
  if (value === undefined || value === null) return [];
  return (Array.isArray(value) ? value : [value]).map((item: unknown) => parseAddress(item));
};

/** `domain://msg-node.<domain>/address-allocation` @see docs/protocol.md, "Functions of the message node" */
export const allocationFunction = ({ domain, directory, limits, random, registeredBy }: AllocationComponents): DomainFunction => {
  const fresh = (scheme: string): Address => {
    const hex = Buffer.from(random(16)).toString('hex');
    return parseAddress(`${scheme}://${domain}/${[hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')}`);
  };

  const claim = async (request: Request, session: Session, addresses: Address[]): Promise<Response> => {
    if (addresses.length > limits.allocationsPerRequest) throw new ProtoflyError('E_TOO_MANY', `at most ${String(limits.allocationsPerRequest)} addresses at a time`);
    for (const address of addresses) {
      const { scheme, path } = partsOf(address);
      if (RESERVED.has(scheme) || path === '' || domainOf(address) !== domain) throw bad(`${address} can't be allocated here`);
      const runtime = registeredBy(address);
      if (runtime !== undefined && runtime !== session.runtime) throw new ProtoflyError('E_CONFLICT', `${address} is registered for another runtime`);
    }
    await directory.allocate(session, [...new Set(addresses)]);
    return respond(request, 200, { value: { allocated: addresses } });
  };

  const create = async (request: Request, session: Session): Promise<Response> => {
    const { scheme: given = 'hyperty', value = {} } = request.body ?? {};
    if (!isObject(value)) throw bad('body.value is not an object');
    if (value['addresses'] !== undefined) return claim(request, session, addressesIn(value['addresses']));
    const scheme = typeof given === 'string' ? given.toLowerCase().replace(/:\/\/$/, '') : '';
    if (!SCHEME.test(scheme) || RESERVED.has(scheme)) throw bad('body.scheme is not one of which addresses are allocated');
    const number = Number(value['number'] ?? 1);
    if (!Number.isInteger(number) || number < 1) throw bad('body.value.number is not a whole number above 0');
    if (number > limits.allocationsPerRequest) throw new ProtoflyError('E_TOO_MANY', `at most ${String(limits.allocationsPerRequest)} addresses at a time`);
    const key = value['allocationKey'] ?? undefined;
    if (key !== undefined && (typeof key !== 'string' || key === '' || key.length > MAX_KEY)) throw bad('body.value.allocationKey is not a short string');
    // A repeated request with the same key gets the same addresses.
    const known = key === undefined ? [] : directory.allocatedUnder(session, key).filter((address) => partsOf(address).scheme === scheme).slice(0, number);
    const allocated = [...known, ...Array.from({ length: number - known.length }, () => fresh(scheme))];
    await directory.allocate(session, allocated, key);
    return respond(request, 200, { value: { allocated } });
  };

  const remove = async (request: Request, session: Session): Promise<Response> => {
    const { resource, childrenResources } = request.body ?? {};
    const children = addressesIn(childrenResources);
    const byKey = typeof resource === 'string' ? directory.allocatedUnder(session, resource) : [];
    const named = typeof resource === 'string' && byKey.length === 0 && isAddress(resource) ? [parseAddress(resource)] : [];
    const addresses = [...children, ...byKey, ...named];
    if (addresses.length === 0) throw resource === undefined && childrenResources === undefined ? bad('neither body.resource nor body.childrenResources') : new ProtoflyError('E_NOT_FOUND', 'nothing is allocated under that key');
    const foreign = addresses.find((address) => { const owner = directory.ownerOf(address); return owner !== undefined && owner !== session; });
    if (foreign !== undefined) throw new ProtoflyError('E_REFUSED', `${foreign} is somebody else's`);
    await directory.release(session, addresses);
    return respond(request, 200);
  };

  return (request, session) => {
    if (request.type === 'create') return create(request, session);
    if (request.type === 'delete') return remove(request, session);
    throw bad(`address allocation has no ${request.type}`);
  };
};

const subscriptionsIn = (body: Body, ...fields: string[]): Address[] => {
  const base = body.resource;
  const children = body['childrenResources'];
  const listed = fields.flatMap((field) => addressesIn(body[field]));
  if (children === undefined || children === null) return [...listed, ...addressesIn(base)];
  const below = (Array.isArray(children) ? children : [children]).map((name: unknown) => {
    if (isAddress(name)) return parseAddress(name);
    if (typeof name !== 'string' || typeof base !== 'string') throw bad('body.childrenResources are not addresses, nor names below body.resource');
    return parseAddress(`${base}/children/${name}`);
  });
  return [...listed, ...addressesIn(base), ...below];
};

/** `domain://msg-node.<domain>/sm` @see docs/protocol.md, "Functions of the message node" */
export const subscriptionFunction = (directory: Directory, limits: NodeLimits): DomainFunction => {
  const addressesOf = (request: Request): Address[] => {
    const body = request.body ?? {};
    const found = [...new Set(subscriptionsIn(body, 'resources', 'subscribe', 'unsubscribe'))];
    if (found.length === 0) throw bad('no addresses in body.resources, body.subscribe or body.resource');
    if (found.length > limits.subscriptionsPerSession) throw new ProtoflyError('E_TOO_MANY', 'too many addresses at a time');
    return found;
  };
  return async (request, session) => {
    if (request.type !== 'subscribe' && request.type !== 'unsubscribe') throw bad(`the subscription manager has no ${request.type}`);
    const source = request.body?.source;
    const subscriber = isAddress(source) ? parseAddress(source) : request.from;
    await directory[request.type](session, addressesOf(request), subscriber);
    return respond(request, 200);
  };
};

/** `domain://admission.<domain>` @see docs/protocol.md, IDN-8 */
export const admissionFunction = (admission: Admission, directory: Directory): DomainFunction => async (request, session) => {
  const { value } = request.body ?? {};
  if (request.type !== 'update' || !isObject(value)) throw bad('admission is for an update with a certificate');
  const before = session.standing;
  await directory.stand(session, await admission.judge(session.runtime, { certificate: value['certificate'] }));
  try {
    admission.confirm(session.standing, session.runtime);
  } catch (thrown) {
    await directory.stand(session, before);
    throw thrown;
  }
  return respond(request, 200);
};
