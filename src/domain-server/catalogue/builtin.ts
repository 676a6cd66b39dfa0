import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { catalogueAddress, CHANNEL_LABEL, ProtoflyError, asProtoflyError } from '../../protocol/index.js';
import type { Collection } from '../../store/store.js';
import { parseDescriptor, parseSourcePackage, type CatalogueType, type Descriptor, type SourcePackage } from '../../protocol/descriptor.js';

/** One entry: its descriptor, and its code, if any. */
export interface CatalogueEntry {
  readonly descriptor: Descriptor;
  readonly source?: SourcePackage;
}

const DESCRIPTOR = '.descriptor.json';

/**
 * Reads the built stubs: `<name>.descriptor.json`, each with `<name>.js` beside it.
 * @throws ProtoflyError `E_DESCRIPTOR` for an unreadable folder or invalid files
 */
const readStubs = (folder: string): CatalogueEntry[] => {
  const read = (name: string): CatalogueEntry => {
    const descriptor = parseDescriptor(JSON.parse(readFileSync(join(folder, `${name}${DESCRIPTOR}`), 'utf8')));
    const sourceCode = readFileSync(join(folder, `${name}.js`), 'utf8');
    return { descriptor, source: parseSourcePackage({ sourceCodeClassname: descriptor.objectName, sourceCode }) };
  };
  if (!existsSync(folder)) throw new ProtoflyError('E_DESCRIPTOR', `there is no folder ${folder}`, { hint: 'build first: npm run build' });
  try {
    return readdirSync(folder).filter((file) => file.endsWith(DESCRIPTOR)).map((file) => read(file.slice(0, -DESCRIPTOR.length)));
  } catch (cause) {
    throw new ProtoflyError('E_DESCRIPTOR', `the stubs in ${folder} can't be read: ${asProtoflyError(cause).message}`, { cause });
  }
};

/** Returns the folder of the stubs in this package, both compiled and from source. */
export const packagedStubs = (): string => fileURLToPath(new URL('../../../dist/protostubs', import.meta.url));

/** A domain's own copy of the stubs of its installation. */
export type InstalledStubs = Collection<CatalogueEntry>;

/**
 * Returns the stubs of an installation, or the domain's copy if the folder is gone.
 * @throws ProtoflyError `E_DESCRIPTOR` as `readStubs`
 */
export const installedStubs = (folder: string, kept: InstalledStubs): CatalogueEntry[] => {
  const copies = [...kept.entries()].map(([, entry]) => entry);
  return copies.length > 0 && !existsSync(folder) ? copies : readStubs(folder);
};

/** Replaces the domain's copy by these stubs. Resolves when they would survive a crash. */
export const keepStubs = async (kept: InstalledStubs, stubs: readonly CatalogueEntry[]): Promise<void> => {
  const names = new Set(stubs.map(({ descriptor }) => descriptor.objectName));
  await Promise.all([...kept.entries()].filter(([name]) => !names.has(name)).map(([name]) => kept.delete(name)));
  await Promise.all(stubs.map((stub) => kept.put(stub.descriptor.objectName, stub)));
};

const VERSION = '1';
const text = { type: 'string' } as const;

const connectionSchema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Connection',
  description: `How a P2P stub can be reached, for the data channel ${CHANNEL_LABEL}`,
  type: 'object',
  required: ['runtime', 'status', 'connectionDescription', 'iceCandidates'],
  properties: {
    name: text,
    runtime: text,
    status: text,
    connectionDescription: { type: 'object', required: ['type', 'sdp'], properties: { type: { enum: ['offer', 'answer'] }, sdp: text } },
    iceCandidates: {
      type: 'array',
      items: { type: 'object', required: ['candidate', 'sdpMid'], properties: { candidate: text, sdpMid: text, sdpMLineIndex: { type: 'integer' } } },
    },
    generation: { type: 'integer', minimum: 0 },
    framings: { type: 'array', items: text },
  },
};

const schemaEntry = (name: string, description: string, schema: unknown): CatalogueEntry => ({
  descriptor: parseDescriptor({ cguid: `dataschema/${name}/${VERSION}`, type: 'dataschema', version: VERSION, objectName: name, description, language: 'json-schema' }),
  source: parseSourcePackage({ sourceCodeClassname: name, sourceCode: JSON.stringify(schema) }),
});

/**
 * Returns the entries that every domain offers besides its stubs: the Connection schema, and the default runtime with
 * the addresses of its P2P stubs.
 */
export const commonEntries = (domain: string): CatalogueEntry[] => [
  schemaEntry('Connection', 'the data object with which two P2P stubs find each other', connectionSchema),
  {
    descriptor: parseDescriptor({
      cguid: `runtime/default/${VERSION}`,
      type: 'runtime',
      version: VERSION,
      objectName: 'default',
      description: 'which stubs a runtime of this domain takes for P2P',
      p2pHandlerStub: catalogueAddress(domain, 'protocolstub', 'p2p-handler'),
      p2pRequesterStub: catalogueAddress(domain, 'protocolstub', 'p2p-requester'),
    }),
  },
];

export const entryKey = (type: CatalogueType, name: string): string => `${type}/${name}`;
