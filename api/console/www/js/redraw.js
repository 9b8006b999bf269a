// Code that changes what is shown calls `redraw`. The page is drawn once before the next frame,
// also after several calls.

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
