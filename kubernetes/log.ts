/** What this folder writes its log to; the program's log fits it. Fields never hold a token or the data of a Secret. */
export interface Log {
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
  readonly error: (fields: object, message: string) => void;
}
