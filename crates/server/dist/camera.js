// The camera: predicts one frame at a time.
/** Maximum columns and rows of a frame, which limits the time for a prediction. */
const SIDE = 640;
export class Camera {
    #video;
    #stream;
    constructor(video) {
        this.#video = video;
    }
    get on() {
        return this.#stream !== undefined;
    }
    /** Shows the video and predicts frame after frame until the camera is turned off. */
    async run(predict, show) {
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
    off() {
        this.#stream?.getTracks().forEach((track) => track.stop());
        this.#stream = undefined;
        this.#video.srcObject = null;
    }
}
