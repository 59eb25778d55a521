// moue in JavaScript: faces in a picture and what their expressions look like,
// computed where it is called. The work is WebAssembly's (moue_web.js); this file
// turns what JavaScript calls a picture into what that understands.

import init, { initSync, WebPredictor } from "./moue_web.js";

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
export async function load({ module, model }: LoadOptions = {}): Promise<Moue> {
  if (module instanceof WebAssembly.Module || module instanceof ArrayBuffer || ArrayBuffer.isView(module)) {
    initSync({ module });
  } else {
    await init(module === undefined ? undefined : { module_or_path: module });
  }
  return new Moue(new WebPredictor(model));
}

/** A predictor; see {@link load}. */
export class Moue {
  readonly #predictor: WebPredictor;
  /** The classes, in the order of their names. */
  readonly classes: readonly string[];

  /** @internal */
  constructor(predictor: WebPredictor) {
    this.#predictor = predictor;
    this.classes = predictor.classes;
  }

  /**
   * The faces in a picture. A file that is no picture is an answer with `error`. It
   * computes on the thread that calls it: in a page, call it from a Web Worker.
   */
  async predict(picture: Picture, options: PredictOptions = {}): Promise<Prediction> {
    const { detect = true, explain = false, name = "image" } = options;
    if (picture instanceof ArrayBuffer || picture instanceof Uint8Array || picture instanceof Blob) {
      const bytes = picture instanceof Blob ? await picture.arrayBuffer() : picture;
      return JSON.parse(this.#predictor.predictFile(name, new Uint8Array(bytes), detect, explain));
    }
    const { data, width, height } = isImageData(picture) ? picture : pixels(picture);
    return JSON.parse(this.#predictor.predictPixels(name, new Uint8Array(data), width, height, detect, explain));
  }

  /** Gives the memory back. */
  free(): void {
    this.#predictor.free();
  }
}

function isImageData(picture: Picture): picture is ImageData {
  return "data" in picture && "width" in picture;
}

function pixels(picture: CanvasImageSource): ImageData {
  const [width, height] = extent(picture);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (context === null) {
    throw new Error("this browser gives no canvas to draw on");
  }
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, width, height);
}

function extent(picture: CanvasImageSource): [number, number] {
  if ("videoWidth" in picture) {
    return [picture.videoWidth, picture.videoHeight];
  }
  if ("naturalWidth" in picture) {
    return [picture.naturalWidth, picture.naturalHeight];
  }
  if ("displayWidth" in picture) {
    return [picture.displayWidth, picture.displayHeight];
  }
  return [Number(picture.width), Number(picture.height)];
}
