/**
 * Watches this machine's network: addresses that appear and disappear, and wake-ups after sleep. It only reports changes;
 * the runtime decides what to check or set up anew.
 */
export * from './monitor.js';
