// Pictures that are all seen at one zoom and in one place of them, right and down in [0,1]. `most()` is the closest zoom; `follow()` shows what else
// goes by it.
let zoom = 1, right = 0.5, down = 0.5;
const inside = (value, low, high) => Math.min(Math.max(value, low), high);

function apply() {
    zoom = inside(zoom, 1, most());
    right = inside(right, 0.5 / zoom, 1 - 0.5 / zoom);
    down = inside(down, 0.5 / zoom, 1 - 0.5 / zoom);
    element.style.setProperty("--zoom", zoom);
    element.style.setProperty("--across", 100 * (0.5 - right) + "%");
    element.style.setProperty("--along", 100 * (0.5 - down) + "%");
    element.classList.toggle("zoomed", zoom > 1);
    follow();
}

// What is under the pointer stays there.
function zoomTo(wanted, x = 0.5, y = 0.5) {
    const before = zoom;
    zoom = inside(wanted, 1, most());
    right += (x - 0.5) * (1 / before - 1 / zoom);
    down += (y - 0.5) * (1 / before - 1 / zoom);
    apply();
}
