// The mark over the picture goes where a click, a tap or the arrow keys put it. "look" asks for a run there as well, "place" does not.
const inside = (value, low, high) => Math.min(Math.max(value, low), high);

function move(mark, down, right) {
    const spot = {};
    for (const [name, part, side, extent] of [["down", down, "top", "height"], ["right", right, "left", "width"]]) {
        const share = parseFloat(mark.style[extent]) / 100;
        const start = inside(part - share / 2, 0, 1 - share);
        mark.style[side] = 100 * start + "%";
        mark.dataset[name] = spot[name] = start + share / 2;
    }
    return spot;
}

element.addEventListener("click", event => {
    const place = event.target.closest(".sr-place");
    if (!place) return;
    const mark = place.querySelector(".sr-mark"), box = place.getBoundingClientRect();
    const spot = event.target === mark // Enter or the space bar: pointers go through the mark to the picture
        ? move(mark, Number(mark.dataset.down), Number(mark.dataset.right))
        : move(mark, (event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width);
    const button = document.getElementById(place.dataset.button);
    trigger(button?.offsetParent && !button.disabled ? "look" : "place", spot);
});

element.addEventListener("keydown", event => {
    const mark = event.target.closest(".sr-mark");
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (!mark || !step) return;
    event.preventDefault();
    const quarter = extent => parseFloat(mark.style[extent]) / 400;
    const [down, right] = [step[0] * quarter("height"), step[1] * quarter("width")];
    trigger("place", move(mark, Number(mark.dataset.down) + down, Number(mark.dataset.right) + right));
});
