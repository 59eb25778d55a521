/** A rectangle in the picture, in pixels. */
export interface Box {
    x: number;
    y: number;
    width: number;
    height: number;
}
/** A face and what its expression looks like. */
export interface Face {
    box: Box;
    /** The most probable class. */
    label: string;
    /** Its probability. */
    confidence: number;
    /** Whether the confidence lies below the model's threshold. */
    uncertain: boolean;
    /** For each class, summing to 1. */
    probabilities: Record<string, number>;
    /** The detector's score; null without detection. */
    score: number | null;
    /** With `explain`: the face with what its answer rests on (Grad-CAM), as a data URL. */
    explanation?: string;
}
/** The answer for a picture; `moue predict --json` writes the same. */
export interface Prediction {
    input: string;
    width: number;
    height: number;
    /** From left to right; none is a normal answer. */
    faces: Face[];
    /** Why there is no answer, or null. */
    error: string | null;
}
/** An image file (PNG, JPEG, WebP, BMP, GIF, TIFF), or pixels. */
export type Picture = Blob | ArrayBuffer | Uint8Array | ImageData | ImageBitmap | CanvasImageSource;
export interface PredictOptions {
    /** Search for faces (default); otherwise the whole picture is taken for one. */
    detect?: boolean;
    /** Show what each answer rests on. */
    explain?: boolean;
    /** How the picture is called in the answer. */
    name?: string;
}
export interface LoadOptions {
    /** `moue_web_bg.wasm`: where it is, or its bytes. Default: beside this file. */
    module?: string | URL | Response | BufferSource | WebAssembly.Module;
    /** A `model.safetensors` of moue's; default: the model `tiny`. */
    model?: Uint8Array;
}
/** Loads the module once; then any number of pictures can be looked at. */
export declare function load({ module, model }?: LoadOptions): Promise<Moue>;
/** A predictor; see {@link load}. */
export declare class Moue {
    #private;
    /** The classes, in the order of their names. */
    readonly classes: readonly string[];
    /**
     * The faces in a picture. A file that is no picture is an answer with `error`. It
     * computes on the thread that calls it: in a page, call it from a Web Worker.
     */
    predict(picture: Picture, options?: PredictOptions): Promise<Prediction>;
    /** Gives the memory back. */
    free(): void;
}
