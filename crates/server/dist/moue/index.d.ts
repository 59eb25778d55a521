/** A rectangle in the picture, in pixels. */
export interface Box {
    x: number;
    y: number;
    width: number;
    height: number;
}
/** A point in the picture, in pixels. */
export interface Point {
    x: number;
    y: number;
}
/** A face and its predicted expression. */
export interface Face {
    box: Box;
    /** The predicted class: the one with the highest probability. */
    label: string;
    /** The probability of the predicted class. */
    confidence: number;
    /** Whether the confidence is below the model's threshold. */
    uncertain: boolean;
    /** The probability of each class; they sum to 1. */
    probabilities: Record<string, number>;
    /** The detector's score, 0–1; null without detection. */
    score: number | null;
    /**
     * Right eye, left eye, nose, right and left corner of the mouth, as the person has them; null where the whole picture
     * is the face.
     */
    landmarks: Point[] | null;
    /** The angle of the line through the eyes in degrees, clockwise; null without landmarks. */
    roll: number | null;
    /** With `explain`: the saliency map (Grad-CAM) as an overlay on the face, as a data URL. */
    explanation?: string;
}
/** The prediction for a picture, as `moue predict --json` prints it. */
export interface Prediction {
    input: string;
    width: number;
    height: number;
    /** The faces from left to right; empty where no face was found. */
    faces: Face[];
    /** Why the faces may be wrong although the picture was predicted; null usually. */
    warning: string | null;
    /** Why there is no prediction; null on success. */
    error: string | null;
}
/** An image file (PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, QOI, ICO), or pixels. */
export type Picture = Blob | ArrayBuffer | Uint8Array | ImageData | ImageBitmap | CanvasImageSource;
export interface PredictOptions {
    /** Detect faces (default); otherwise the whole picture is one face. */
    detect?: boolean;
    /** Add a saliency map to each face. */
    explain?: boolean;
    /**
     * Search faces at 320 pixels only, for the frames of a camera: a third of the time or less, but faces below 6 % of the
     * picture's longer side, and some larger ones, are not found.
     */
    fast?: boolean;
    /** Predict the available part of a truncated file, with a `warning`; otherwise it has an `error`. */
    allowTruncated?: boolean;
    /** The picture's name in the prediction. */
    name?: string;
}
export interface LoadOptions {
    /** The URL or the bytes of `moue_web_bg.wasm`. Default: in the same folder as this file. */
    module?: string | URL | Response | BufferSource | WebAssembly.Module;
    /** The bytes of a `model.safetensors` that moue has written. Default: the model `tiny`. */
    model?: Uint8Array;
}
/** A model, and how accurate it is. */
export interface ModelInfo {
    /** The name of its architecture. */
    name: string;
    /** Accuracy on its validation split, 0–1 (optimistic: the weights were selected on it); null if not recorded. */
    accuracy: number | null;
    /** Number of images of that split; null if not recorded. */
    images: number | null;
}
/** Loads the module and a model. The result predicts any number of pictures. */
export declare function load({ module, model }?: LoadOptions): Promise<Moue>;
/** A predictor; see {@link load}. */
export declare class Moue {
    #private;
    /** The classes, in alphabetical order. */
    readonly classes: readonly string[];
    /** The model. */
    readonly model: Readonly<ModelInfo>;
    /**
     * Predicts the facial expressions in a picture. For a file that is not an image, the
     * prediction has an `error`. It runs on the calling thread: in a page, call it from a
     * Web Worker.
     */
    predict(picture: Picture, options?: PredictOptions): Promise<Prediction>;
    /** Frees the memory. */
    free(): void;
}
