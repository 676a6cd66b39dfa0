/** Where a publisher's keys are kept. What it holds is secret. */
export interface KeyKeeper {
  /** In words, for errors: `the file /var/lib/…`. */
  readonly where: string;
  /** What was written last; nothing when nothing ever was. @throws ProtoflyError when something is there and can't be read */
  read(): Promise<string | undefined>;
  /** Resolves when the text would survive a crash. Until then what was there before is. @throws ProtoflyError */
  write(text: string): Promise<void>;
}
