/* tslint:disable */
/* eslint-disable */

/**
 * A predictor with the model `tiny`, or with a given model.
 */
export class WebPredictor {
    free(): void;
    [Symbol.dispose](): void;
    /**
     * Loads a model from the bytes of a model file, or the model `tiny`.
     *
     * # Errors
     * When the bytes are not a model file.
     */
    constructor(model?: Uint8Array | number[] | null);
    /**
     * The prediction for an image file, as JSON. With `fast`, faces are searched at 320 pixels only. A truncated file is an error, unless it is allowed.
     *
     * # Errors
     * When the prediction cannot be serialized.
     */
    predictFile(name: string, bytes: Uint8Array | number[], detect: boolean, explain: boolean, fast: boolean, allow_truncated: boolean): string;
    /**
     * The prediction for pixels of a canvas (RGBA, row by row), as JSON. With `fast`, faces are searched
     * at 320 pixels only.
     *
     * # Errors
     * When there are not four bytes for each pixel.
     */
    predictPixels(name: string, rgba: Uint8Array | number[], width: number, height: number, detect: boolean, explain: boolean, fast: boolean): string;
    /**
     * Number of images of that split; `undefined` if the model file does not contain it.
     */
    readonly accuracyImages: number | undefined;
    /**
     * Accuracy of the model on its validation split, 0–1; `undefined` if the model file does not contain it.
     */
    readonly accuracy: number | undefined;
    /**
     * The classes, in alphabetical order.
     */
    readonly classes: string[];
    /**
     * Name of the model's architecture.
     */
    readonly name: string;
}

export type InitInput = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;

export interface InitOutput {
    readonly memory: WebAssembly.Memory;
    readonly __wbg_webpredictor_free: (a: number, b: number) => void;
    readonly webpredictor_accuracy: (a: number) => [number, number];
    readonly webpredictor_accuracyImages: (a: number) => number;
    readonly webpredictor_classes: (a: number) => [number, number];
    readonly webpredictor_name: (a: number) => [number, number];
    readonly webpredictor_new: (a: number, b: number) => [number, number, number];
    readonly webpredictor_predictFile: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number, i: number) => [number, number, number, number];
    readonly webpredictor_predictPixels: (a: number, b: number, c: number, d: number, e: number, f: number, g: number, h: number, i: number, j: number) => [number, number, number, number];
    readonly __wbindgen_externrefs: WebAssembly.Table;
    readonly __externref_drop_slice: (a: number, b: number) => void;
    readonly __wbindgen_free: (a: number, b: number, c: number) => void;
    readonly __wbindgen_malloc: (a: number, b: number) => number;
    readonly __externref_table_dealloc: (a: number) => void;
    readonly __wbindgen_realloc: (a: number, b: number, c: number, d: number) => number;
    readonly __wbindgen_start: () => void;
}

export type SyncInitInput = BufferSource | WebAssembly.Module;

/**
 * Instantiates the given `module`, which can either be bytes or
 * a precompiled `WebAssembly.Module`.
 *
 * @param {{ module: SyncInitInput }} module - Passing `SyncInitInput` directly is deprecated.
 *
 * @returns {InitOutput}
 */
export function initSync(module: { module: SyncInitInput } | SyncInitInput): InitOutput;

/**
 * If `module_or_path` is {RequestInfo} or {URL}, makes a request and
 * for everything else, calls `WebAssembly.instantiate` directly.
 *
 * @param {{ module_or_path: InitInput | Promise<InitInput> }} module_or_path - Passing `InitInput` directly is deprecated.
 *
 * @returns {Promise<InitOutput>}
 */
export default function __wbg_init (module_or_path?: { module_or_path: InitInput | Promise<InitInput> } | InitInput | Promise<InitInput>): Promise<InitOutput>;
