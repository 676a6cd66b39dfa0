import { z } from 'zod';
import { ProtoflyError } from './errors.js';

/**
 * Catalogue descriptors. Kept apart from the rest of the vocabulary, so that not every command and stub loads
 * the validator.
 * @see docs/protocol.md, "Catalogue"
 */
export const CATALOGUE_TYPES = ['hyperty', 'protocolstub', 'runtime', 'dataschema', 'idp-proxy'] as const;
export type CatalogueType = (typeof CATALOGUE_TYPES)[number];

export const NAME_SHAPE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Maximum length of source code, in UTF-16 code units. */
export const MAX_SOURCE = 4 * 1024 * 1024;
/** A content address: the SHA-256 of the source code's bytes. */
export const HASH_SHAPE = /^sha256-[0-9a-f]{64}$/;

const sourcePackage = z.object({
  sourceCodeClassname: z.string().max(256),
  sourceCode: z.string().max(MAX_SOURCE),
  encoding: z.enum(['utf-8', 'base64']).default('utf-8'),
  signature: z.string().max(64 * 1024).default(''),
});

const descriptor = z.looseObject({
  cguid: z.string().max(256),
  type: z.enum(CATALOGUE_TYPES),
  version: z.string().max(64),
  objectName: z.string().regex(NAME_SHAPE),
  description: z.string().max(4096).default(''),
  language: z.string().max(64).default('javascript'),
  sourcePackageURL: z.string().max(2048).default(''),
  /** Content address of the source code. */
  sourceHash: z.string().regex(HASH_SHAPE).optional(),
  sourcePackage: sourcePackage.optional(),
  /** Rises with every change and renewal. Absent in descriptors of older domain servers. */
  serial: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  /** End of its validity, in ISO 8601. */
  expires: z.iso.datetime().optional(),
  signature: z.string().max(64 * 1024).default(''),
  configuration: z.record(z.string(), z.unknown()).default({}),
  /** Capabilities that the stub requests, by name. Only the value `true` counts as a request. */
  constraints: z.record(z.string(), z.unknown()).default({}),
  messageSchemas: z.unknown().optional(),
  interworking: z.boolean().optional(),
  p2pHandlerStub: z.string().max(2048).optional(),
  p2pRequesterStub: z.string().max(2048).optional(),
});

export type SourcePackage = z.infer<typeof sourcePackage>;
export type Descriptor = z.infer<typeof descriptor>;

const checked = <T>(schema: z.ZodType<T>, value: unknown, what: string): T => {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ProtoflyError('E_DESCRIPTOR', `bad ${what}: ${issue === undefined ? 'invalid' : `${issue.path.join('.') || 'it'}: ${issue.message}`}`);
};

/** @throws ProtoflyError `E_DESCRIPTOR` */
export const parseDescriptor = (value: unknown): Descriptor => checked(descriptor, value, 'descriptor');
/** @throws ProtoflyError `E_DESCRIPTOR` */
export const parseSourcePackage = (value: unknown): SourcePackage => checked(sourcePackage, value, 'source package');

/** The public half of a publisher's key, as a JSON Web Key. `kid` is its RFC 7638 thumbprint. */
const publicKey = z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: z.string().regex(/^[A-Za-z0-9_-]{43}$/), kid: z.string().max(64) });
export type PublicKey = z.infer<typeof publicKey>;
/** @throws ProtoflyError `E_DESCRIPTOR` */
export const parsePublicKey = (value: unknown): PublicKey => checked(publicKey, value, 'publisher key');

/** `GET /.well-known/protofly`: a domain's description of itself. */
const domainInfo = z.looseObject({
  domain: z.string().max(253),
  /** The key that signs new packages. */
  publisherKey: publicKey.optional(),
  /** Keys whose signatures are still valid, the current one first. Each `endorsement` is signed by the previous key. */
  publisherKeys: z.array(z.object({ key: publicKey, endorsement: z.string().max(4096).optional() })).max(8).optional(),
  /** URLs of the message node, by protocol. */
  messageNode: z.record(z.string().max(64), z.string().max(2048)),
  iceServers: z.array(z.string().max(512)).max(20).optional(),
});
export type DomainInfo = z.infer<typeof domainInfo>;
/** @throws ProtoflyError `E_DESCRIPTOR` */
export const parseDomainInfo = (value: unknown): DomainInfo => checked(domainInfo, value, 'domain description');
