// Whoever changes what is shown calls `redraw`; it is drawn once before the next frame, however
// often that was.

/** @type {() => void} */
let draw = () => {};
let due = false;

/** @param {() => void} how */
export function drawBy(how) {
  draw = how;
}

export function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}
