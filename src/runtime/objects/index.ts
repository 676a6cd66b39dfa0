/**
 * Data synchronisation: JSON objects with one writer, the reporter, and many readers, the observers. `SyncManager` is the
 * runtime's part: it keeps the authoritative copies, admits observers, and follows the objects of other runtimes.
 * `SyncClient` is the program's part, and only needs to post and to listen. This is no database: an object lives as long
 * as its reporter, and nothing is kept on disk.
 */
export { SyncClient, type SyncBus, type SyncClientComponents, type SyncClientInit } from '../../sandbox/inside/objects/client.js';
export { SyncManager, type SyncManagerInit } from './manager.js';
export { type SyncComponents, type SyncRoutes } from './ports.js';
export { applyChange, diff, makeObject, MAX_OBJECT_SIZE, type Change, type DataObject } from '../../protocol/data-object.js';
