// The camera: predicts one frame at a time.

import type { Prediction } from "./moue/index.js";

/** Maximum columns and rows of a frame, which limits the time for a prediction. */
const SIDE = 640;

export class Camera {
  readonly #video: HTMLVideoElement;
  #stream: MediaStream | undefined;

  constructor(video: HTMLVideoElement) {
    this.#video = video;
  }

  get on(): boolean {
    return this.#stream !== undefined;
  }

  /** Shows the video and predicts frame after frame until the camera is turned off. */
  async run(predict: (frame: ImageBitmap) => Promise<Prediction>, show: (prediction: Prediction) => void): Promise<void> {
    const wanted = { video: { facingMode: "user", width: { ideal: SIDE } }, audio: false };
    this.#stream = await navigator.mediaDevices.getUserMedia(wanted);
    this.#video.srcObject = this.#stream;
    await this.#video.play();
    while (this.on) {
      const { videoWidth, videoHeight } = this.#video;
      const scale = Math.min(1, SIDE / Math.max(videoWidth, videoHeight));
      const frame = await createImageBitmap(this.#video, {
        resizeWidth: Math.round(videoWidth * scale),
        resizeHeight: Math.round(videoHeight * scale),
      });
      const prediction = await predict(frame);
      if (this.on) {
        show(prediction);
      }
      // A hidden page gets no animation frames, so it predicts nothing.
      await new Promise(requestAnimationFrame);
    }
  }

  off(): void {
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = undefined;
    this.#video.srcObject = null;
  }
}
