// Predictions as files: the JSON and the CSV of `moue predict`.
/** An array of predictions, without saliency maps. */
export function json(predictions) {
    return JSON.stringify(predictions, (key, value) => (key === "explanation" ? undefined : value), 1);
}
/** A row for each face; a picture that cannot be read is a row with its error. */
export function csv(predictions, classes) {
    const head = ["input", "x", "y", "width", "height", "label", "confidence", "uncertain", "score", ...classes, "error"];
    const rows = predictions.flatMap(({ input, faces, error }) => {
        if (error !== null) {
            return [[input, ...head.slice(2).map(() => ""), error]];
        }
        return faces.map(({ box, label, confidence, uncertain, score, probabilities }) => [
            input, box.x, box.y, box.width, box.height, label, confidence, uncertain, score ?? "",
            ...classes.map((name) => probabilities[name] ?? ""), "",
        ]);
    });
    return [head, ...rows].map((row) => row.map(field).join(",") + "\n").join("");
}
/** Quoted where needed; file names that a spreadsheet would evaluate as formulas are escaped. */
function field(value) {
    const text = typeof value === "string" && /^[=+@\-\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
/** Saves a text as a download. */
export function save(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
