// What pages with many images share: elements, and thumbnails on sheets.
"use strict";
const make = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

/** Makes the thumbnail of an image, by its place on the sheets. */
const thumbnails = ({ sheets, side, columns }) => {
  // Embedded sheets become objects, so that each is decoded once.
  const urls = [];
  const sheet = (number) => {
    const source = sheets[number];
    if (!source.startsWith("data:")) return source;
    if (!urls[number]) {
      const bytes = Uint8Array.from(atob(source.slice(source.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
      urls[number] = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    }
    return urls[number];
  };
  return (index) => {
    const place = index % (columns * columns), scale = 96 / side, thumb = make("div", "thumb");
    thumb.style.backgroundImage = `url("${sheet(Math.floor(index / (columns * columns)))}")`;
    thumb.style.backgroundSize = `${columns * 96}px auto`;
    thumb.style.backgroundPosition = `${-(place % columns) * side * scale}px ${-Math.floor(place / columns) * side * scale}px`;
    return thumb;
  };
};
