for (const card of document.querySelectorAll("[data-curves]")) {
  const { names, xs, rows, x0, dx, left, width, unit } = JSON.parse(card.dataset.curves);
  const svg = card.querySelector("svg"), hair = card.querySelector(".hair");
  const values = card.querySelectorAll(".legend span"), when = card.querySelector(".when");
  const show = (at) => {
    names.forEach((name, k) => {
      const value = at === null ? null : rows[k][at];
      values[k].textContent = value === null || value === undefined ? "" :
        " " + value.toLocaleString(undefined, { maximumFractionDigits: 2 }) + unit;
    });
    when.textContent = at === null ? "" : "at " + xs[at] + " s";
    hair.style.visibility = at === null ? "hidden" : "visible";
    if (at !== null) {
      const x = left + (xs[at] - x0) / dx * width;
      hair.setAttribute("x1", x); hair.setAttribute("x2", x);
    }
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = x0 + ((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width - left) / width * dx;
    let best = 0;
    xs.forEach((each, k) => { if (Math.abs(each - x) < Math.abs(xs[best] - x)) best = k; });
    show(best);
  });
  svg.addEventListener("pointerleave", () => show(null));
}
