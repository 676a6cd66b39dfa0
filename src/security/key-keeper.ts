/** Storage for a secret document, like the keys of a publisher or a user. */
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

/** Storage that several processes use. */
export interface SharedKeyKeeper extends KeyKeeper {
  /** Writes the first text. @returns the text that is there then: another process may have been faster @throws ProtoflyError */
  create(text: string): Promise<string>;
}
