/** What a CustomResourceDefinition is written in: plain JSON, made here and never changed. */
export type Json = string | number | boolean | readonly Json[] | JsonMap;

/** A JSON object. */
export interface JsonMap {
  readonly [key: string]: Json;
}
