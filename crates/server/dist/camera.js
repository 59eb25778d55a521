// The camera: one frame at a time, the next when the last is answered.
/** Columns that a frame is brought to: more only costs time. */
const WIDTH = 640;
export class Camera {
    #video;
    #stream;
    constructor(video) {
        this.#video = video;
    }
    get on() {
        return this.#stream !== undefined;
    }
    /** Shows what it sees and asks about frame after frame, until it is switched off. */
    async run(ask, tell) {
        const wanted = { video: { facingMode: "user", width: { ideal: WIDTH } }, audio: false };
        this.#stream = await navigator.mediaDevices.getUserMedia(wanted);
        this.#video.srcObject = this.#stream;
        await this.#video.play();
        while (this.on) {
            const { videoWidth, videoHeight } = this.#video;
            const scale = Math.min(1, WIDTH / videoWidth);
            const frame = await createImageBitmap(this.#video, {
                resizeWidth: Math.round(videoWidth * scale),
                resizeHeight: Math.round(videoHeight * scale),
            });
            const prediction = await ask(frame);
            if (this.on) {
                tell(prediction);
            }
            // A page that is not seen gets no frames, and costs nothing.
            await new Promise(requestAnimationFrame);
        }
    }
    off() {
        this.#stream?.getTracks().forEach((track) => track.stop());
        this.#stream = undefined;
        this.#video.srcObject = null;
    }
}
