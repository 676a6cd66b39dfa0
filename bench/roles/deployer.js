import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { catalogueAddress, systemClock } from '../../dist/protocol/index.js';
import { processSandbox } from '../../dist/runtime/index.js';
import { Loader, makeCatalogue, OwnCode } from '../../dist/runtime/stubs/loader/index.js';
import { Publishers } from '../../dist/runtime/stubs/policy/index.js';
import { Domains } from '../../dist/runtime/directory/domains.js';
import { openLmdbStore } from '../../dist/store/lmdb/index.js';
import { now, serve } from './serve.js';

// The part of a runtime that deploys stubs, with its usual surroundings: a store on disk, and sandbox
// processes.
const DOMAIN = 'localhost';
const origin = catalogueAddress(DOMAIN, 'protocolstub', 'default');
const sandboxes = processSandbox({ log: () => undefined });
const open = new Set();
let url;
let folder;
let last = 0;

/** Opens an empty catalogue of a runtime. */
const openCatalogue = () => {
  const store = openLmdbStore({ path: mkdtempSync(join(folder, 'store-')) });
  const log = () => undefined;
  const domains = new Domains({ known: store.collection('domains'), fetch, log, web: { fetch, check: () => undefined } }, { urls: { [DOMAIN]: url } });
  const publishers = new Publishers({ kept: store.collection('publishers'), domains, clock: systemClock, log });
  const catalogue = makeCatalogue({ store, clock: systemClock, log, domains, publishers, ownDomain: DOMAIN }, {});
  const opened = {
    catalogue,
    close: async () => {
      if (!open.delete(opened)) return;
      await catalogue.close();
      await store.close();
    },
  };
  open.add(opened);
  return opened;
};

const openLoader = (catalogue) => {
  const loader = new Loader({ catalogue, sandboxes, own: new OwnCode(), named: { admit: () => undefined }, domains: { checkServer: () => undefined, isPublicOnly: () => false } });
  const opened = {
    loader,
    close: async () => { if (open.delete(opened)) await loader.close(); },
  };
  open.add(opened);
  return opened;
};

/** Deploys the domain's message-node stub, for a runtime of its own. */
const deploy = async (loader, from) => {
  const runtimeURL = `hyperty-runtime://${DOMAIN}/deployer-${++last}`;
  const began = now();
  const stub = await loader.deploy({ url: `${runtimeURL}/protostub/1`, origin, config: { runtimeURL }, cause: 'program' });
  const ms = now() - began;
  stub.link.receive(() => undefined);
  if (stub.from !== from) throw new Error(`the stub came from the ${stub.from}`);
  return { ms, stub };
};

const closeAll = async () => { for (const each of [...open].reverse()) await each.close(); };

let warm;
let held;

serve({
  start: async (given) => {
    ({ url, folder } = given);
    warm = openCatalogue();
    held = openLoader(warm.catalogue);
    // This stub stays, and its sandbox with it.
    await deploy(held.loader, 'catalogue');
  },
  downloaded: async () => {
    const { catalogue, close: closeCatalogue } = openCatalogue();
    const { loader, close: closeLoader } = openLoader(catalogue);
    const { ms } = await deploy(loader, 'catalogue');
    await closeLoader();
    await closeCatalogue();
    return ms;
  },
  newSandbox: async () => {
    const { loader, close } = openLoader(warm.catalogue);
    const { ms } = await deploy(loader, 'cache');
    await close();
    return ms;
  },
  sameSandbox: async () => {
    const { ms, stub } = await deploy(held.loader, 'cache');
    await stub.undeploy();
    return ms;
  },
}, closeAll);
