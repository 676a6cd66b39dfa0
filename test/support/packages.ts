import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { parseDescriptor, parseSourcePackage, type Descriptor, type DomainInfo, type SourcePackage } from '../../src/protocol/descriptor.js';
import { catalogueAddress, type Address } from '../../src/protocol/index.js';
import { contentHash, endorse, generatePublisherKey, publicHalf, signDescriptor, signSource, sourceBytes, type PublisherKey } from '../../src/security/index.js';

export interface PackageInit {
  readonly domain?: string;
  readonly name?: string;
  readonly version?: string;
  readonly source?: string;
  readonly encoding?: 'utf-8' | 'base64';
  /** Overrides fields of the descriptor before it is signed. */
  readonly change?: Partial<Descriptor>;
}

export interface SignedPackage {
  readonly descriptor: Descriptor;
  readonly source: SourcePackage;
  readonly hash: string;
}

export const DOMAIN = 'a.example';
export const stubAddress = (name = 'default', domain = DOMAIN): Address => catalogueAddress(domain, 'protocolstub', name);

/** Creates a package signed by a domain's publisher. */
export const signedPackage = async (key: PublisherKey, { domain = DOMAIN, name = 'default', version = '1', source = 'export default () => ({});', encoding = 'utf-8', change = {} }: PackageInit = {}): Promise<SignedPackage> => {
  const code = parseSourcePackage({ sourceCodeClassname: name, sourceCode: encoding === 'base64' ? Buffer.from(source).toString('base64') : source, encoding });
  const hash = contentHash(sourceBytes(code));
  const descriptor = parseDescriptor({
    cguid: `protocolstub/${name}`, type: 'protocolstub', version, objectName: name, constraints: { websocket: true },
    sourceHash: hash, sourcePackageURL: `${catalogueAddress(domain, 'protocolstub', name)}/sourcePackage/${hash}`, ...change,
  });
  return { descriptor: await signDescriptor(descriptor, key), source: await signSource(code, key), hash };
};

/** Creates the description of a domain with these keys. Each key is endorsed by the one after it in the list. */
export const infoOf = async (keys: readonly PublisherKey[], { domain = DOMAIN, endorsed = true }: { readonly domain?: string; readonly endorsed?: boolean } = {}): Promise<DomainInfo> => {
  const [current] = keys;
  const publisherKeys = await Promise.all(keys.map(async (key, at) => {
    const before = keys[at + 1];
    return { key: publicHalf(key), ...(before === undefined || !endorsed ? {} : { endorsement: await endorse(before, domain, key) }) };
  }));
  return { domain, messageNode: { websocket: 'ws://127.0.0.1:1/ws' }, ...(current === undefined ? {} : { publisherKey: publicHalf(current), publisherKeys }) };
};

export interface Shop {
  readonly url: string;
  key: PublisherKey;
  /** The content of `/.well-known/protofly`. */
  info: DomainInfo;
  /** Requested paths, in order. */
  readonly asked: string[];
  /** Files by path below `/.well-known/`; values other than strings are sent as JSON. */
  readonly files: Map<string, unknown>;
  /** Handles a request itself if it returns true. */
  answer: ((path: string, request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  /** Offers a package. */
  offer(made: SignedPackage): void;
  /** `shut` takes no more requests; `open` takes them again at the same address. */
  shut(): Promise<void>;
  open(): Promise<void>;
}

/** A scripted catalogue over real HTTP; closed after the test. */
export const openShop = async (t: Test): Promise<Shop> => {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').replace('/.well-known/', '');
    shop.asked.push(path);
    if (shop.answer?.(path, request, response) === true) return;
    const body = path === 'protofly' ? shop.info : shop.files.get(path);
    if (body === undefined) { response.writeHead(404).end(); return; }
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const etag = `"${contentHash(text)}"`;
    if (request.headers['if-none-match'] === etag) response.writeHead(304, { etag }).end();
    else response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', etag }).end(text);
  });
  const listen = (port: number): Promise<void> => new Promise((resolve) => { server.listen(port, '127.0.0.1', resolve); });
  const shut = async (): Promise<void> => {
    if (!server.listening) return;
    await new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); });
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  t.teardown(shut);
  const key = await generatePublisherKey();
  const shop: Shop = {
    url: `http://127.0.0.1:${String(port)}`, key, info: await infoOf([key]), asked: [], files: new Map(), answer: undefined, shut,
    open: () => listen(port),
    offer: ({ descriptor, source, hash }) => {
      const path = `${descriptor.type}/${descriptor.objectName}`;
      shop.files.set(path, descriptor);
      shop.files.set(`${path}/sourcePackage/${hash}`, source);
    },
  };
  return shop;
};
