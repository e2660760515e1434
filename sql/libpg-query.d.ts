declare module 'libpg-query/wasm/libpg-query.js' {
  /** What Emscripten makes of libpg_query; addresses are offsets into HEAPU8, which is another array after the memory has grown. */
  interface GrammarModule {
    readonly HEAPU8: Uint8Array<ArrayBuffer>;
    _malloc(byteLength: number): number;
    _free(address: number): void;
    /** Address of `{ char *tree; char *stderr; struct { char *message, *function, *file; int line, cursor; } *error }`; 0: no memory. */
    _wasm_parse_query_raw(text: number): number;
    _wasm_free_parse_result(result: number): void;
    /** Address of the tokens as JSON, or of a message. */
    _wasm_scan(text: number): number;
    _wasm_free_string(text: number): void;
  }
  export default function load(): Promise<GrammarModule>;
}
