/** Storage for a publisher's keys. Its content is secret. */
export interface KeyKeeper {
  /** Describes the storage, for errors: `the file /var/lib/…`. */
  readonly where: string;
  /** Returns the last written text; undefined if there is none. @throws ProtoflyError if it exists but can't be read */
  read(): Promise<string | undefined>;
  /**
   * Replaces the text. Resolves when it would survive a crash; until then, the old text stays.
   * @throws ProtoflyError
   */
  write(text: string): Promise<void>;
}
